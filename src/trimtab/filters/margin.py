"""Keeps a band of the labels, from the least sure to the surest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import build_keep_mask, compute_confidence, rank_by_score
from trimtab.types import Annotation


class Margin(Component):
    """Keeps the labels between two quantiles of the confidence, or of the size of the margin.

    Labels that prefer a response are ranked from the least sure to the surest, and those of the ranks above
    floor(n * from_quantile) up to floor(n * to_quantile) stay, so that bands side by side share no label and miss none.
    `by: margin` ranks by the annotator's raw score, which still tells apart what rounds to the same probability. Large margins
    have been found best for training (arXiv 2502.14560) and so have small ones (arXiv 2508.04149): either end can be cut.
    Equally sure labels go by pair id. Raises `DataError` for an empty band, and for labels without a margin where it is asked
    for.
    """

    from_quantile: float = Field(0.0, ge=0, le=1)
    to_quantile: float = Field(1.0, ge=0, le=1)
    by: Literal["confidence", "margin"] = "confidence"

    @model_validator(mode="after")
    def _require_rising(self) -> Self:
        if self.from_quantile >= self.to_quantile:
            raise ValueError(
                f"from_quantile must be below to_quantile, got {self.from_quantile} and {self.to_quantile}"
            )
        return self

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        del given
        order = rank_by_score(annotations, compute_confidence if self.by == "confidence" else _read_margin_size)[::-1]
        # The decimals that were written, as in `uncertainty`.
        low, high = (math.floor(len(order) * Fraction(str(each))) for each in (self.from_quantile, self.to_quantile))
        if low == high:
            raise DataError(
                f"nothing to keep: no rank of {len(order)} labels lies between the quantiles {self.from_quantile} and "
                f"{self.to_quantile}; widen the band"
            )
        return build_keep_mask(annotations, order[low:high])


def _read_margin_size(label: Annotation) -> float:
    if label.margin is None or not math.isfinite(label.margin):
        raise DataError(
            f"label of pair {label.pair_id}: its margin is {label.margin}, expected a number; `by: margin` reads raw scores, "
            "such as those of the annotator `implicit_reward`, and other labels can be ranked `by: confidence`"
        )
    return abs(label.margin)
