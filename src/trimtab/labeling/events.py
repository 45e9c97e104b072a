"""The events of a rater's log: the start of a session, an answer, and the undoing of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from trimtab.types import Choice

# What a rater chose: the response on the left, the one on the right, neither, or no answer.
RaterChoice = Literal["left", "right", "no_difference", "skip"]
RATER_CHOICES: tuple[RaterChoice, ...] = get_args(RaterChoice)
EVENT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelingSettings:
    """What the order of a rater's pairs depends on, besides the rater and the pool.

    `limit` is the number of pairs to label. `overlap` is the share of them that all raters label. `repeats` is the share that
    is shown a second time.
    """

    seed: int = 0
    limit: int
    overlap: float = 0.2
    repeats: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart:
    """`pool` is the content hash of the pool, `guideline` that of the guideline's text; `port` is where the page was."""

    rater: str
    pool: str
    num_pool_pairs: int
    settings: LabelingSettings
    guideline: str
    port: int
    time: str
    format: int = EVENT_FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterAnswer:
    """A rater's answer about a pair.

    `left` is the response that was shown on the left. `is_repeat`: the pair was shown a second time. `milliseconds` passed
    between showing the pair and the answer. `inclusion_probability` is the pair's probability of being in the rater's sample.
    """

    id: str
    pair: str
    is_repeat: bool
    left: Choice
    choice: RaterChoice
    note: str
    milliseconds: int
    inclusion_probability: float
    time: str

    @property
    def preferred(self) -> Choice | None:
        """The preferred response; None if there is no difference, or no answer."""
        if self.choice == "left":
            return self.left
        if self.choice == "right":
            return "b" if self.left == "a" else "a"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoneAnswer:
    """`answer` is the id of the answer that does not count any more."""

    id: str
    answer: str
    time: str


LabelingEvent = SessionStart | RaterAnswer | UndoneAnswer
_EVENT_TYPES: dict[str, type[LabelingEvent]] = {"start": SessionStart, "answer": RaterAnswer, "undo": UndoneAnswer}


def encode_event(event: LabelingEvent) -> dict[str, Any]:
    """The event as JSON-compatible values."""
    name = next(name for name, event_type in _EVENT_TYPES.items() if isinstance(event, event_type))
    return {"event": name, **asdict(event)}


def parse_event(values: Mapping[str, Any]) -> LabelingEvent:
    """Raises `ValueError` if the values are not an event of this version."""
    event_type = _EVENT_TYPES.get(values.get("event", ""))
    if event_type is None:
        raise ValueError(f"event must be one of {', '.join(_EVENT_TYPES)}, got {str(values.get('event'))[:20]!r}")
    content = {name: value for name, value in values.items() if name != "event"}
    expected = {field.name for field in fields(event_type)}
    if content.keys() != expected:
        raise ValueError(f"expected the keys {', '.join(sorted(expected))}, got {', '.join(sorted(content))}")
    if event_type is SessionStart:
        if content["format"] != EVENT_FORMAT:
            raise ValueError(
                f"format must be {EVENT_FORMAT}, got {content['format']}: another version of Trimtab wrote it"
            )
        content["settings"] = LabelingSettings(**content["settings"])
    if event_type is RaterAnswer and content["choice"] not in RATER_CHOICES:
        raise ValueError(f"choice must be one of {', '.join(RATER_CHOICES)}, got {str(content['choice'])[:20]!r}")
    return event_type(**content)
