"""Pairs and sessions for tests of labeling."""

from __future__ import annotations

from pathlib import Path

from trimtab.labeling.events import LabelingSettings, RaterChoice
from trimtab.labeling.labeling_session import LabelingSession, build_event_log
from trimtab.types import Pair, build_user_prompt


def build_pool(size: int) -> list[Pair]:
    """Pairs in which the better response starts with `good`."""
    return [Pair.from_responses(build_user_prompt(f"question {i}"), f"good {i}", f"bad {i}") for i in range(size)]


def open_session(
    folder: Path, pairs: list[Pair], *, rater: str = "ana", limit: int = 100, overlap: float = 0.2, repeats: float = 0.1
) -> LabelingSession:
    settings = LabelingSettings(limit=limit, overlap=overlap, repeats=repeats)
    folder.joinpath("events").mkdir(parents=True, exist_ok=True)
    session = LabelingSession.resume(build_event_log(folder, rater), rater, pairs, settings)
    session.start("", 4321)
    return session


def answer_current(session: LabelingSession, event_id: str, choice: RaterChoice) -> bool:
    assert session.current is not None
    return session.record_answer(event_id, session.current.id, choice, "", 1500)
