"""Ranks labels by a score. Counts are exact, and the result does not depend on the order of the labels."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

from trimtab.errors import DataError
from trimtab.types import Annotation

LabelScore = Callable[[Annotation], float]


def keep_top_fraction(annotations: Sequence[Annotation], score: LabelScore, fraction: float) -> list[bool]:
    """Keeps the ceil(n * fraction) highest-scoring labels of the n that prefer a response.

    Raises `DataError` if no label prefers a response.
    """
    ranked = rank_by_score(annotations, score)
    # the decimal as written, so that 0.55 of 100 is 55 and not 56
    return build_keep_mask(annotations, ranked[: math.ceil(len(ranked) * Fraction(str(fraction)))])


def keep_from_median(annotations: Sequence[Annotation], score: LabelScore) -> list[bool]:
    """Of the labels that prefer a response, keeps those whose score is at least the median of these.

    Raises `DataError` if no label prefers a response.
    """
    ranked = rank_by_score(annotations, score)
    scores = {label.pair_id: score(label) for label in annotations if label.choice is not None}
    median = statistics.median(scores.values())
    return build_keep_mask(annotations, [pair_id for pair_id in ranked if scores[pair_id] >= median])


def rank_by_score(annotations: Sequence[Annotation], score: LabelScore) -> list[str]:
    """The pair ids of the labels that prefer a response, by descending score, then by id.

    Raises `DataError` if there are none.
    """
    scores = {label.pair_id: score(label) for label in annotations if label.choice is not None}
    if not scores:
        raise DataError(f"no labels kept: none of {len(annotations)} labels prefers a response")
    return sorted(scores, key=lambda pair_id: (-scores[pair_id], pair_id))


def build_keep_mask(annotations: Sequence[Annotation], pair_ids: Sequence[str]) -> list[bool]:
    kept = set(pair_ids)
    return [label.pair_id in kept for label in annotations]


def compute_confidence(label: Annotation) -> float:
    """max(p, 1 - p), in [0.5, 1], which decreases with the entropy. 0 without a probability."""
    return 0.0 if label.p_a is None else max(label.p_a, 1 - label.p_a)
