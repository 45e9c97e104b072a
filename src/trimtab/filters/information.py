"""Keeps the labels whose search trees have the most information."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import keep_from_median, keep_top_fraction
from trimtab.types import Annotation


class Information(Component):
    """Keeps the labels with the highest tree scores, like SEAM's own filter.

    The score is `detail["score"]` of labels by `seam`: the mean information of the tree's valid nodes, in bits. Of the n
    labels that prefer a response, `select_by: fraction` keeps ceil(n * fraction), equal scores by pair id; `median`, the
    rule of the released code, keeps all with at least the median score, more than half of them if scores tie. Raises
    `DataError` for labels without a score.
    """

    select_by: Literal["fraction", "median"] = "fraction"
    fraction: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _reject_unused_fraction(self) -> Self:
        if self.select_by == "median" and self.fraction != 0.5:
            raise ValueError(
                f"fraction: has no effect with `select_by: median`, got {self.fraction}; use `select_by: fraction`"
            )
        return self

    def requirements(self) -> Requirements:
        return Requirements(label_fields=frozenset({"tree_score"}))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        del inputs
        if self.select_by == "fraction":
            return keep_top_fraction(annotations, _read_tree_score, self.fraction)
        return keep_from_median(annotations, _read_tree_score)


def _read_tree_score(label: Annotation) -> float:
    score = label.detail.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise DataError(
            f"label of pair {label.pair_id}: detail.score is {score!r}, expected a number; this filter needs the tree scores "
            "of the annotator `seam`; filter other labels by `uncertainty`"
        )
    return float(score)
