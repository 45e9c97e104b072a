"""The labels that score highest: an exact count, and the same ones whatever their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from trimtab.errors import DataError
from trimtab.types import Annotation


def highest(annotations: Sequence[Annotation], score: Callable[[Annotation], float], fraction: float) -> list[bool]:
    """Keeps ceil(n * fraction) of the n labels that prefer a response; equal scores go by pair id, the lower first.

    Raises `DataError` where no label prefers a response.
    """
    scored = {label.pair_id: score(label) for label in annotations if label.choice is not None}
    if not scored:
        raise DataError(f"nothing to keep: none of {len(annotations)} labels prefers a response")
    # The decimal that was written, so that 0.55 of 100 is 55 and not 56.
    count = math.ceil(len(scored) * Fraction(str(fraction)))
    kept = set(sorted(scored, key=lambda key: (-scored[key], key))[:count])
    return [label.pair_id in kept for label in annotations]
