"""What is wrong with an answer of a model that was asked, in words; nothing where it can be used."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trimtab.types import ChoiceScores, Generation


def compute_min_samples(counts: Iterable[int]) -> int:
    """The fewest draws that any shares were counted over, given those of each; 0 where none were counted."""
    return min((each for each in counts if each), default=0)


def format_sample_note(samples: int) -> str:
    """What a label says that rests on counted draws: its probability is no finer than these."""
    return f"shares counted over {samples} draws" if samples else ""


def describe_generation_error(reply: Generation) -> str:
    """Why nothing was written."""
    return "" if reply.status == "ok" else f"nothing was written: {reply.note or reply.status}"


def describe_scoring_error(weighing: ChoiceScores) -> str:
    """Why there is no verdict: the question failed, or the model gave shares that are no numbers."""
    if weighing.status != "ok":
        return f"no verdict: {weighing.note or weighing.status}"
    return (
        "" if all(map(math.isfinite, weighing.probabilities)) else f"no verdict: shares {list(weighing.probabilities)}"
    )
