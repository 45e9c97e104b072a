"""Checks of engine replies: error descriptions and sample counts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trimtab.types import ChoiceScores, Generation


def compute_min_samples(counts: Iterable[int]) -> int:
    """The smallest sample count above 0; 0 if no probabilities were estimated from samples."""
    return min((count for count in counts if count), default=0)


def format_sample_note(samples: int) -> str:
    """The note of a label whose probabilities were estimated from samples; empty for 0 samples."""
    return f"probabilities estimated from {samples} samples" if samples else ""


def describe_generation_error(generation: Generation) -> str:
    """The reason a generation failed; empty if it succeeded."""
    return "" if generation.status == "ok" else f"generation failed: {generation.note or generation.status}"


def describe_scoring_error(scores: ChoiceScores) -> str:
    """The reason there is no verdict: a failed request or non-finite probabilities. Empty if there is one."""
    if scores.status != "ok":
        return f"no verdict: {scores.note or scores.status}"
    if all(map(math.isfinite, scores.probabilities)):
        return ""
    return f"no verdict: probabilities {list(scores.probabilities)}"
