"""What the labeling page shows, as JSON: the next pair without anything that could influence the rater, and the progress."""

from __future__ import annotations

from typing import Any

from trimtab.labeling.labeling_session import LabelingSession
from trimtab.labeling.presentation_queue import Presentation
from trimtab.stats.means import wilson_interval
from trimtab.stats.quantiles import Z95
from trimtab.types import Choice, Pair, text_hash

# The accuracy for which the interval of an audit is predicted.
EXPECTED_ACCURACY = 0.8


def build_page_state(session: LabelingSession, guideline: str) -> dict[str, Any]:
    """The state of the page after the events so far. `log` identifies the log in a browser's storage."""
    history, presentation = session.history, session.current
    return {
        "log": text_hash(session.rater, history.starts[0].pool, history.starts[0].time)[:16],
        "rater": session.rater,
        "guideline": guideline,
        "presentation": None if presentation is None else _describe_presentation(session, presentation),
        "last_answer": history.answers[-1].id if history.answers else None,
        "num_answers": len(history.answers),
        "num_left": sum(map(history.is_due, session.queue)),
        "interval": _describe_interval(session),
    }


def wilson_half_width(accuracy: float, n: int) -> float:
    """Half the width of Wilson's (1927) 95% interval for n independent rows."""
    low, high = wilson_interval(accuracy, n, Z95)
    return (high - low) / 2


def _describe_presentation(session: LabelingSession, presentation: Presentation) -> dict[str, Any]:
    pair = session.pairs[presentation.pair_id]
    right: Choice = "b" if presentation.left == "a" else "a"
    undone = [each for each in session.history.undone if _is_answer_to(each.pair, each.is_repeat, presentation)]
    return {
        "id": presentation.id,
        "prompt": _describe_prompt(pair),
        "left": pair.response(presentation.left),
        "right": pair.response(right),
        "note": undone[-1].note if undone else "",
        "undone_choice": undone[-1].choice if undone else None,
    }


def _is_answer_to(pair_id: str, is_repeat: bool, presentation: Presentation) -> bool:
    return (pair_id, is_repeat) == (presentation.pair_id, presentation.is_repeat)


def _describe_prompt(pair: Pair) -> list[dict[str, str]]:
    return [{"role": message.role, "text": message.content} for message in pair.prompt]


def _describe_interval(session: LabelingSession) -> dict[str, Any]:
    """The half-width that an audit's interval would have with the labels so far, and with all of them; None without labels."""
    num_labels = sum(not each.is_repeat and each.preferred is not None for each in session.history.answers)
    num_planned = min(session.settings.limit, len(session.pairs))
    return {
        "num_labels": num_labels,
        "now": wilson_half_width(EXPECTED_ACCURACY, num_labels) if num_labels else None,
        "num_planned": num_planned,
        "planned": wilson_half_width(EXPECTED_ACCURACY, num_planned),
    }
