"""Labels by the lengths of the responses alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component
from trimtab.core.interfaces import AnnotatorInputs
from trimtab.types import Annotation, Pair


class ByLength(Component):
    """`margin` is by how many characters `a` is ahead: longer, or where SIGN is -1 shorter."""

    SYMMETRIC: ClassVar[bool] = True
    SIGN: ClassVar[int]

    gap: int = Field(0, ge=0)

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return ()

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        return [self._annotate(pair) for pair in pairs]

    def _annotate(self, pair: Pair) -> Annotation:
        lead = self.SIGN * pair.length_difference("a")
        if abs(lead) <= self.gap:
            return Annotation(pair_id=pair.id, p_a=None, status="abstained", note=f"a lead of {lead} characters")
        return Annotation(pair_id=pair.id, p_a=1.0 if lead > 0 else 0.0, margin=float(lead))
