"""One rater's session: which pair is next, and saving answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trimtab.config.names import validate_names
from trimtab.errors import StudyError
from trimtab.labeling.events import (
    LabelingEvent,
    LabelingSettings,
    RaterAnswer,
    RaterChoice,
    SessionStart,
    UndoneAnswer,
    encode_event,
)
from trimtab.labeling.presentation_queue import Presentation, build_presentation_queue
from trimtab.labeling.rater_history import RaterHistory, read_history
from trimtab.storage.event_log import EventLog
from trimtab.types import Pair, text_hash

# In the output folder: one log per rater.
EVENTS_DIR = "events"


def normalize_rater(name: str) -> str:
    """The name in lower case, because some file systems ignore case. Raises `StudyError` for one that cannot be a file's."""
    try:
        validate_names([name])
    except ValueError as error:
        raise StudyError(f"--rater {error}") from error
    return name.lower()


def build_event_log(folder: Path, rater: str) -> EventLog:
    """The log of a rater in the output folder."""
    return EventLog(folder / EVENTS_DIR / f"{rater}.jsonl")


def hash_pool(pairs: Sequence[Pair]) -> str:
    """The content hash of a pool; the order of the pairs and their labels do not affect it."""
    return text_hash(*sorted(pair.id for pair in pairs))


@dataclass(slots=True)
class LabelingSession:
    """A rater, the pool, and the rater's history, which grows. The caller holds the lock of `log`."""

    rater: str
    pairs: Mapping[str, Pair]
    settings: LabelingSettings
    log: EventLog
    history: RaterHistory
    queue: Sequence[Presentation]

    @classmethod
    def resume(cls, log: EventLog, rater: str, pairs: Sequence[Pair], settings: LabelingSettings) -> LabelingSession:
        """Replays the log. Raises `StudyError` if it is of another pool or has other settings; a larger limit is fine."""
        history = read_history(log)
        if history.starts:
            _require_same_labeling(history.starts[-1], log.path, hash_pool(pairs), settings)
        by_id = {pair.id: pair for pair in pairs}
        queue = build_presentation_queue(list(by_id), rater, settings)
        return cls(rater, by_id, settings, log, history, queue)

    def start(self, guideline: str, port: int) -> None:
        """Records the start of a session."""
        self._save(
            SessionStart(
                rater=self.rater,
                pool=hash_pool(list(self.pairs.values())),
                num_pool_pairs=len(self.pairs),
                settings=self.settings,
                guideline=text_hash(guideline),
                port=port,
                time=_format_now(),
            )
        )

    @property
    def current(self) -> Presentation | None:
        """The first presentation that is due; None at the end."""
        return next((each for each in self.queue if self.history.is_due(each)), None)

    def record_answer(
        self, event_id: str, presentation_id: str, choice: RaterChoice, note: str, milliseconds: int
    ) -> bool:
        """Saves an answer. Returns whether it counts: not if another page has answered in the meantime.

        An event id that is already saved is a retry, and counts. Raises `StoreError` if the answer cannot be saved.
        """
        if event_id in self.history.event_ids:
            return True
        presentation = self.current
        if presentation is None or presentation.id != presentation_id:
            return False
        self._save(
            RaterAnswer(
                id=event_id,
                pair=presentation.pair_id,
                is_repeat=presentation.is_repeat,
                left=presentation.left,
                choice=choice,
                note=note,
                milliseconds=milliseconds,
                inclusion_probability=min(self.settings.limit, len(self.pairs)) / len(self.pairs),
                time=_format_now(),
            )
        )
        return True

    def undo(self, event_id: str, answer_id: str) -> bool:
        """Undoes the last answer, `answer_id`. Returns whether it counts, as `record_answer` does."""
        if event_id in self.history.event_ids:
            return True
        if not self.history.answers or self.history.answers[-1].id != answer_id:
            return False
        self._save(UndoneAnswer(id=event_id, answer=answer_id, time=_format_now()))
        return True

    def _save(self, event: LabelingEvent) -> None:
        """Appends an event to the log first, so that a failure to write leaves the history as it was."""
        self.log.append(encode_event(event))
        self.history.apply(event)


def _require_same_labeling(start: SessionStart, path: Path, pool: str, settings: LabelingSettings) -> None:
    if start.pool != pool:
        raise StudyError(
            f"{path}: has labels of another pool ({start.num_pool_pairs:,} pairs, hash {start.pool[:8]}; the file now has the "
            f"hash {pool[:8]}); choose another folder with --out"
        )
    before, after = asdict(start.settings), asdict(settings)
    changed = [name for name in ("seed", "overlap", "repeats") if before[name] != after[name]]
    if changed:
        name = changed[0]
        raise StudyError(
            f"--{name} {after[name]}: {path} was started with --{name} {before[name]}, and the order of the pairs depends on "
            "it; use the same value, or another folder with --out"
        )


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
