"""Uses the strong model's label if that model is confident, and the weak label otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class AuxConfidence(Component):
    """Uses the strong arm's label if its confidence exceeds a threshold, else the weak arm's (SEAM's AuxConf).

    `weak` and `strong` name arms. The confidence of a label is max(p_a, 1 - p_a). The threshold is the `quantile` of the strong
    arm's confidences over its whole set: at most the fraction 1 - quantile is replaced, and a pair's label does not depend on
    which pairs are labeled with it. Alternatively, set `threshold`. A strong label that abstained or failed is not used. `cost`
    is the total cost of both arms' labels; `detail` has both probabilities and the arm whose label was used (`label_from`).
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: str
    strong: str
    quantile: float = Field(0.5, ge=0, le=1)
    threshold: float | None = Field(None, ge=0.5, le=1)

    @model_validator(mode="after")
    def _require_one_threshold(self) -> Self:
        if self.threshold is not None and "quantile" in self.model_fields_set:
            raise ValueError("set either quantile or threshold")
        return self

    def requirements(self) -> Requirements:
        return Requirements(arms=(self.weak, self.strong))

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        weak, strong = inputs.labels[self.weak], inputs.labels[self.strong]
        threshold = self._compute_threshold(list(strong.values())) if self.threshold is None else self.threshold
        return [_annotate(weak[pair.id], strong[pair.id], threshold) for pair in pairs]

    def _compute_threshold(self, labels: Sequence[Annotation]) -> float:
        """The confidence that ceil(n * quantile) of the n labels do not exceed; 0 for a quantile of 0, so all exceed it."""
        confidences = sorted(value for label in labels if (value := _compute_confidence(label)) is not None)
        count = math.ceil(len(confidences) * Fraction(str(self.quantile)))
        return confidences[count - 1] if count else 0.0


def _compute_confidence(label: Annotation) -> float | None:
    return None if label.p_a is None else max(label.p_a, 1 - label.p_a)


def _annotate(weak: Annotation, strong: Annotation, threshold: float) -> Annotation:
    confidence = _compute_confidence(strong)
    selected = strong if confidence is not None and confidence > threshold else weak
    detail = {"weak": weak.p_a, "strong": strong.p_a, "label_from": "strong" if selected is strong else "weak"}
    # the margins of two annotators have different units, so neither is kept
    return replace(selected, margin=None, cost=weak.cost + strong.cost, detail=detail)
