"""Helpers for annotators that are trained on the labeled pairs."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.types import Annotation


def select_most_confident(labels: Sequence[Annotation], fraction: float) -> list[Annotation]:
    """The most confident `fraction` of the labels that prefer a response, sorted by confidence, then by id."""
    preferring = [label for label in labels if label.choice is not None]
    ordered = sorted(preferring, key=lambda label: (-abs((label.p_a or 0.5) - 0.5), label.pair_id))
    return ordered[: round(fraction * len(ordered))]
