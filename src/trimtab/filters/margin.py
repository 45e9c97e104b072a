"""Keeps the labels in a range of confidence quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import DataError, NoLabelsError
from trimtab.filters._shared.ranking import build_keep_mask, compute_confidence, rank_by_score
from trimtab.types import Annotation


class Margin(Component):
    """Keeps the labels between two quantiles of the confidence, or of the absolute margin.

    Labels that prefer a response are ranked by ascending confidence, and those with ranks above floor(n * from_quantile) and up
    to floor(n * to_quantile) are kept, so that adjacent ranges do not overlap and leave no gap. `by: margin` ranks by the
    annotator's raw score, which distinguishes labels whose probabilities round to the same number. In some papers,
    large margins are best for training (arXiv 2502.14560), in others small ones (arXiv 2508.04149), so either end can be
    removed. Ties are broken by pair id. Raises `DataError` for an empty range, and with `by: margin` for labels without a
    margin.
    """

    from_quantile: float = Field(0.0, ge=0, le=1)
    to_quantile: float = Field(1.0, ge=0, le=1)
    by: Literal["confidence", "margin"] = "confidence"

    @model_validator(mode="after")
    def _require_rising(self) -> Self:
        if self.from_quantile >= self.to_quantile:
            raise ValueError(
                f"from_quantile must be less than to_quantile, got {self.from_quantile} and {self.to_quantile}"
            )
        return self

    def requirements(self) -> Requirements:
        return Requirements(label_fields=frozenset({self.by}))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        del inputs
        score = compute_confidence if self.by == "confidence" else _read_margin_size
        ranked = rank_by_score(annotations, score)[::-1]
        # the decimals as written, as in `keep_top_fraction`
        quantiles = (self.from_quantile, self.to_quantile)
        low, high = (math.floor(len(ranked) * Fraction(str(quantile))) for quantile in quantiles)
        if low == high:
            raise NoLabelsError(
                f"no labels kept: no rank of {len(ranked)} labels lies between the quantiles {self.from_quantile} and "
                f"{self.to_quantile}; use a wider range"
            )
        return build_keep_mask(annotations, ranked[low:high])


def _read_margin_size(label: Annotation) -> float:
    if label.margin is None or not math.isfinite(label.margin):
        raise DataError(
            f"label of pair {label.pair_id}: margin is {label.margin}, expected a number; `by: margin` needs raw scores, such "
            "as those of the annotator `implicit_reward`; rank other labels `by: confidence`"
        )
    return abs(label.margin)
