"""What a rater's log amounts to: the answers that were not undone."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.errors import StoreError
from trimtab.labeling.events import LabelingEvent, RaterAnswer, RaterChoice, SessionStart, UndoneAnswer, parse_event
from trimtab.labeling.presentation_queue import Presentation
from trimtab.storage.event_log import EventLog


@dataclass(slots=True)
class RaterHistory:
    """The starts of sessions, the answers that count, oldest first, and the ids of all events. Grows with `apply`.

    `choices` are those of the answers, by pair id and whether the pair was a repeat.
    """

    starts: list[SessionStart] = field(default_factory=list)
    answers: list[RaterAnswer] = field(default_factory=list)
    choices: dict[tuple[str, bool], RaterChoice] = field(default_factory=dict)
    undone: list[RaterAnswer] = field(default_factory=list)
    event_ids: set[str] = field(default_factory=set)

    def apply(self, event: LabelingEvent) -> None:
        """Adds an event. Raises `ValueError` if it cannot follow the earlier ones."""
        if isinstance(event, SessionStart):
            self._apply_start(event)
            return
        if not self.starts:
            raise ValueError("the first event must be a start")
        if event.id in self.event_ids:
            raise ValueError(f"the event {event.id[:40]} is there twice")
        if isinstance(event, RaterAnswer):
            if (event.pair, event.is_repeat) in self.choices:
                raise ValueError(f"pair {event.pair} is answered twice")
            self.answers.append(event)
            self.choices[event.pair, event.is_repeat] = event.choice
        else:
            self._apply_undo(event)
        self.event_ids.add(event.id)

    def is_due(self, presentation: Presentation) -> bool:
        """Whether the presentation has no answer yet. A pair that was skipped is not repeated."""
        if (presentation.pair_id, presentation.is_repeat) in self.choices:
            return False
        return not (presentation.is_repeat and self.choices.get((presentation.pair_id, False)) == "skip")

    def _apply_start(self, start: SessionStart) -> None:
        first = self.starts[0] if self.starts else start
        if (start.rater, start.pool) != (first.rater, first.pool):
            raise ValueError("the start is of another rater or pool than the first one")
        self.starts.append(start)

    def _apply_undo(self, event: UndoneAnswer) -> None:
        if not self.answers or self.answers[-1].id != event.answer:
            raise ValueError(f"undoes {event.answer[:40]}, which is not the last answer")
        undone = self.answers.pop()
        del self.choices[undone.pair, undone.is_repeat]
        self.undone.append(undone)


def read_history(log: EventLog) -> RaterHistory:
    """Replays a log. Raises `StoreError` with the file and the line of an event that is damaged or out of place."""
    history = RaterHistory()
    for logged in log.read():
        try:
            history.apply(parse_event(logged.event))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{log.path}:{logged.line}: {error}; restore the file from a copy") from error
    return history
