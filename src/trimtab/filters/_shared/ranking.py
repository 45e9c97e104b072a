"""Labels by how high they score: exact counts, and the same labels whatever their order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

from trimtab.errors import DataError
from trimtab.types import Annotation

LabelScore = Callable[[Annotation], float]


def keep_top_fraction(annotations: Sequence[Annotation], score: LabelScore, fraction: float) -> list[bool]:
    """Keeps ceil(n * fraction) of the n labels that prefer a response, those that score highest.

    Raises `DataError` where no label prefers a response.
    """
    order = rank_by_score(annotations, score)
    # The decimal that was written, so that 0.55 of 100 is 55 and not 56.
    return build_keep_mask(annotations, order[: math.ceil(len(order) * Fraction(str(fraction)))])


def keep_from_median(annotations: Sequence[Annotation], score: LabelScore) -> list[bool]:
    """Keeps those of the labels that prefer a response whose score is at least the median of these.

    Raises `DataError` where no label prefers a response.
    """
    order = rank_by_score(annotations, score)
    scores = {label.pair_id: score(label) for label in annotations if label.choice is not None}
    middle = statistics.median(scores.values())
    return build_keep_mask(annotations, [key for key in order if scores[key] >= middle])


def rank_by_score(annotations: Sequence[Annotation], score: LabelScore) -> list[str]:
    """The pair ids of the labels that prefer a response, the highest score first; equal scores go by id, the lower first.

    Raises `DataError` where there are none.
    """
    scored = {label.pair_id: score(label) for label in annotations if label.choice is not None}
    if not scored:
        raise DataError(f"nothing to keep: none of {len(annotations)} labels prefers a response")
    return sorted(scored, key=lambda key: (-scored[key], key))


def build_keep_mask(annotations: Sequence[Annotation], ids: Sequence[str]) -> list[bool]:
    kept = set(ids)
    return [label.pair_id in kept for label in annotations]


def compute_confidence(label: Annotation) -> float:
    """In [0.5, 1]; entropy falls as it rises. 0 where there is no probability."""
    return 0.0 if label.p_a is None else max(label.p_a, 1 - label.p_a)
