"""Keeps the labels whose trees hold the most information."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import keep_from_median, keep_top_fraction
from trimtab.types import Annotation


class Information(Component):
    """Keeps the labels with the highest tree scores, as SEAM's own filter does.

    The score is `detail["score"]` of labels by the `seam` annotator: the mean information of a tree's valid nodes, in bits.
    Of the n labels that prefer a response, `rule: count` keeps ceil(n * fraction), equal scores by pair id; `rule: median`,
    which is the released code's, keeps all whose score is the median or more: more than half of them where scores tie. Raises
    `DataError` for labels without a score.
    """

    select_by: Literal["fraction", "median"] = "fraction"
    fraction: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _reject_unused_fraction(self) -> Self:
        if self.select_by == "median" and self.fraction != 0.5:
            raise ValueError(
                f"fraction: the median has half of the labels above it, got {self.fraction}; use `select_by: fraction`"
            )
        return self

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        del given
        if self.select_by == "fraction":
            return keep_top_fraction(annotations, _read_tree_score, self.fraction)
        return keep_from_median(annotations, _read_tree_score)


def _read_tree_score(label: Annotation) -> float:
    score = label.detail.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise DataError(
            f"label of pair {label.pair_id}: detail.score is {score!r}, expected a number; this filter reads the tree scores "
            "of labels by the annotator `seam`, and other labels can be filtered by `uncertainty`"
        )
    return float(score)
