"""What a rater's log amounts to: the answers that were not undone."""

from __future__ import annotations

from dataclasses import dataclass, field

from trimtab.errors import StoreError
from trimtab.labeling.events import LabelingEvent, RaterAnswer, SessionStart, UndoneAnswer, parse_event
from trimtab.storage.event_log import EventLog


@dataclass(slots=True)
class RaterHistory:
    """The starts of sessions, the answers that count, oldest first, and the ids of all events. Grows with `apply`."""

    starts: list[SessionStart] = field(default_factory=list)
    answers: list[RaterAnswer] = field(default_factory=list)
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
            if self.find_answer(event.pair, event.is_repeat) is not None:
                raise ValueError(f"pair {event.pair} is answered twice")
            self.answers.append(event)
        else:
            self._apply_undo(event)
        self.event_ids.add(event.id)

    def find_answer(self, pair_id: str, is_repeat: bool) -> RaterAnswer | None:
        # from the end, where the answer of a page usually is
        keys = ((each.pair, each.is_repeat) for each in reversed(self.answers))
        index = next((index for index, key in enumerate(keys) if key == (pair_id, is_repeat)), None)
        return None if index is None else self.answers[-1 - index]

    def _apply_start(self, start: SessionStart) -> None:
        first = self.starts[0] if self.starts else start
        if (start.rater, start.pool) != (first.rater, first.pool):
            raise ValueError("the start is of another rater or pool than the first one")
        self.starts.append(start)

    def _apply_undo(self, event: UndoneAnswer) -> None:
        if not self.answers or self.answers[-1].id != event.answer:
            raise ValueError(f"undoes {event.answer[:40]}, which is not the last answer")
        self.undone.append(self.answers.pop())


def read_history(log: EventLog) -> RaterHistory:
    """Replays a log. Raises `StoreError` with the file and the line of an event that is damaged or out of place."""
    history = RaterHistory()
    for logged in log.read():
        try:
            history.apply(parse_event(logged.event))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{log.path}:{logged.line}: {error}; restore the file from a copy") from error
    return history
