"""Weak labels, with the strong model's in their place where it is confident."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class AuxConfidence(Component):
    """Takes the strong arm's label where its confidence is above a threshold, else the weak arm's (SEAM's AuxConf).

    `weak` and `strong` name arms. The confidence of a label is max(p_a, 1 - p_a). The threshold is the `quantile` of the
    strong arm's confidences over its whole set, so that the share 1 - quantile is corrected at most and a pair's label does
    not hang on which pairs are labeled with it; or give `threshold` itself. A strong label that abstained or failed corrects
    nothing. `cost` is what both arms' labels took, `detail` has both probabilities and which label was taken.
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: str
    strong: str
    quantile: float = Field(0.5, ge=0, le=1)
    threshold: float | None = Field(None, ge=0.5, le=1)

    @model_validator(mode="after")
    def _require_one_threshold(self) -> Self:
        if self.threshold is not None and "quantile" in self.model_fields_set:
            raise ValueError("give either quantile or threshold")
        return self

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return (self.weak, self.strong)

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        weak, strong = given.labels[self.weak], given.labels[self.strong]
        threshold = self._compute_threshold(list(strong.values())) if self.threshold is None else self.threshold
        return [_annotate(weak[pair.id], strong[pair.id], threshold) for pair in pairs]

    def _compute_threshold(self, labels: Sequence[Annotation]) -> float:
        """The confidence that ceil(n * quantile) of the n labels do not exceed; 0, which all exceed, for a quantile of 0."""
        ordered = sorted(each for label in labels if (each := _compute_confidence(label)) is not None)
        count = math.ceil(len(ordered) * Fraction(str(self.quantile)))
        return ordered[count - 1] if count else 0.0


def _compute_confidence(label: Annotation) -> float | None:
    return None if label.p_a is None else max(label.p_a, 1 - label.p_a)


def _annotate(weak: Annotation, strong: Annotation, threshold: float) -> Annotation:
    confidence = _compute_confidence(strong)
    taken = strong if confidence is not None and confidence > threshold else weak
    detail = {"weak": weak.p_a, "strong": strong.p_a, "label_from": "strong" if taken is strong else "weak"}
    # Margins of two annotators are in two units, so neither is handed on.
    return replace(taken, margin=None, cost=weak.cost + strong.cost, detail=detail)
