"""Keeps the labels whose trees hold the most information."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.filters._highest import at_least_median, highest
from trimtab.protocols import Given
from trimtab.types import Annotation


class Information(Component):
    """Keeps the labels with the highest tree scores, as SEAM's own filter does.

    The score is `detail["score"]` of labels by the `seam` annotator: the mean information of a tree's valid nodes, in bits.
    Of the n labels that prefer a response, `rule: count` keeps ceil(n * fraction), equal scores by pair id; `rule: median`,
    which is the released code's, keeps all whose score is the median or more: more than half of them where scores tie. Raises
    `DataError` for labels without a score.
    """

    rule: Literal["count", "median"] = "count"
    fraction: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.rule == "median" and self.fraction != 0.5:
            raise ValueError(
                f"fraction: the median has half of the labels above it, got {self.fraction}; use `rule: count`"
            )
        return self

    def arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        del given
        if self.rule == "count":
            return highest(annotations, _score, self.fraction)
        return at_least_median(annotations, _score)


def _score(label: Annotation) -> float:
    score = label.detail.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise DataError(
            f"label of pair {label.pair_id}: detail.score is {score!r}, expected a number; this filter reads the tree scores "
            "of labels by the annotator `seam`, and other labels can be filtered by `uncertainty`"
        )
    return float(score)
