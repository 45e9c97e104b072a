"""Length baseline: prefers the longer or the shorter response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Length(Component):
    """Prefers the longer response, or with `prefer: shorter` the shorter one, counted in characters.

    Every other annotator should beat this baseline. `margin` is the length of `a` minus that of `b`, with the sign reversed
    for `shorter`. It abstains if the lengths differ by at most `tie_threshold` characters.
    """

    SYMMETRIC: ClassVar[bool] = True

    prefer: Literal["longer", "shorter"] = "longer"
    tie_threshold: int = Field(0, ge=0, description="characters")

    def requirements(self) -> Requirements:
        return Requirements()

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"margin"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [self._annotate(pair) for pair in pairs]

    def _annotate(self, pair: Pair) -> Annotation:
        margin = pair.length_difference("a") if self.prefer == "longer" else pair.length_difference("b")
        if abs(margin) <= self.tie_threshold:
            note = f"tie: the lengths differ by {abs(margin)} characters"
            return Annotation(pair_id=pair.id, p_a=None, status="abstained", note=note)
        return Annotation(pair_id=pair.id, p_a=1.0 if margin > 0 else 0.0, margin=float(margin))
