"""Keeps the labels whose trees hold the most information."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.filters._highest import highest
from trimtab.protocols import Given
from trimtab.types import Annotation


class Information(Component):
    """Keeps the `fraction` of labels with the highest tree score, as SEAM's own filter does.

    The score is `detail["score"]` of labels by the `seam` annotator: the mean information of a tree's valid nodes, in bits.
    Kept are ceil(n * fraction) of the n labels that prefer a response; equal scores go by pair id. Raises `DataError` for
    labels without a score.
    """

    fraction: float = Field(0.5, gt=0, le=1)

    def arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        del given
        return highest(annotations, _score, self.fraction)


def _score(label: Annotation) -> float:
    score = label.detail.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise DataError(
            f"label of pair {label.pair_id}: detail.score is {score!r}, expected a number; this filter reads the tree scores "
            "of labels by the annotator `seam`, and other labels can be filtered by `uncertainty`"
        )
    return float(score)
