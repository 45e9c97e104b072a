"""Combines the answers of all raters into one label per pair, and writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import DataError
from trimtab.labeling.events import RaterAnswer
from trimtab.labeling.labeling_session import EVENTS_DIR, build_event_log, hash_pool
from trimtab.labeling.rater_history import RaterHistory, read_history
from trimtab.models.chat_messages import build_chat_messages
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.types import Annotation, Pair, Preference
from trimtab.workflows.export import build_trl_row

_NO_DIFFERENCE, _SKIP = "no_difference", "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanLabel:
    """The raters' answers about a pair, first answers before repeats, and `p_a`: the mean of their first answers.

    A preference for `a` counts 1, one for `b` 0, and no difference 0.5. `p_a` is None if every rater skipped the pair.
    `inclusion_probability` is the share of the pool that was shown to raters: each pair was as likely to be among them.
    """

    pair: Pair
    answers: Mapping[str, Sequence[RaterAnswer]]
    p_a: float | None
    inclusion_probability: float

    def to_annotation(self) -> Annotation:
        if self.p_a is None:
            return Annotation(pair_id=self.pair.id, p_a=None, status="abstained", note="every rater skipped the pair")
        return Annotation(pair_id=self.pair.id, p_a=self.p_a)


def read_rater_histories(folder: Path, pairs: Sequence[Pair]) -> dict[str, RaterHistory]:
    """The histories of all raters in the output folder, by name.

    Raises `DataError` if there is none or if one is of another pool, and `StoreError` for a damaged event.
    """
    with translate_os_errors(folder):
        raters = sorted(path.stem for path in (folder / EVENTS_DIR).glob("*.jsonl"))
    histories = {rater: read_history(build_event_log(folder, rater)) for rater in raters}
    histories = {rater: history for rater, history in histories.items() if history.starts}
    if not histories:
        raise DataError(f"{folder / EVENTS_DIR}: has no labels; start with trimtab label POOL --rater NAME")
    pool = hash_pool(pairs)
    for rater, history in histories.items():
        if history.starts[0].pool != pool:
            raise DataError(
                f"{build_event_log(folder, rater).path}: has labels of another pool, so they cannot be combined"
            )
    return histories


def combine_answers(histories: Mapping[str, RaterHistory], pairs: Sequence[Pair]) -> list[HumanLabel]:
    """One label for each pair that a rater saw, in the order of the pool."""
    answers: dict[str, dict[str, list[RaterAnswer]]] = {}
    for rater, history in histories.items():
        for answer in sorted(history.answers, key=lambda each: each.is_repeat):
            answers.setdefault(answer.pair, {}).setdefault(rater, []).append(answer)
    return [
        HumanLabel(
            pair=pair,
            answers=answers[pair.id],
            p_a=_compute_vote_share([each[0] for each in answers[pair.id].values()]),
            inclusion_probability=len(answers) / len(pairs),
        )
        for pair in pairs
        if pair.id in answers
    ]


def iter_pair_rows(labels: Sequence[HumanLabel]) -> Iterator[dict[str, Any]]:
    """Rows that are both pairs with human labels and labels by pair id. A pair without a preferred response has no label."""
    for label in labels:
        pair, annotation = label.pair, label.to_annotation()
        prompt = build_chat_messages([(message.role, message.content) for message in pair.prompt])
        yield {
            "prompt": prompt.messages,
            "response_a": pair.a,
            "response_b": pair.b,
            "label": annotation.choice,
            **({"tools": prompt.tools} if prompt.tools is not None else {}),
            "id": pair.id,
            "p_a": annotation.p_a,
            "status": annotation.status,
            "num_raters": sum(each[0].choice != _SKIP for each in label.answers.values()),
            "votes": [_describe_vote(rater, each) for rater, given in label.answers.items() for each in given],
            "inclusion_probability": label.inclusion_probability,
        }


def iter_trl_rows(labels: Sequence[HumanLabel]) -> Iterator[dict[str, Any]]:
    """TRL's conversational preference format, for pairs with a preferred response."""
    for label in labels:
        preference = Preference.from_annotation(label.pair, label.to_annotation())
        if preference is not None:
            yield build_trl_row(preference, None)


def name_vote(answer: RaterAnswer) -> str:
    """`a`, `b`, `no_difference` or `skip`, independent of the sides."""
    return answer.preferred or answer.choice


def _compute_vote_share(answers: Sequence[RaterAnswer]) -> float | None:
    values = [
        0.5 if each.preferred is None else float(each.preferred == "a") for each in answers if each.choice != _SKIP
    ]
    return sum(values) / len(values) if values else None


def _describe_vote(rater: str, answer: RaterAnswer) -> dict[str, Any]:
    return {
        "rater": rater,
        "vote": name_vote(answer),
        "left": answer.left,
        "is_repeat": answer.is_repeat,
        "seconds": answer.milliseconds / 1000,
        "note": answer.note,
    }
