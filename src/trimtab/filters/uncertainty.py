"""Keeps the most confident labels."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.filters._shared.ranking import compute_confidence, keep_top_fraction
from trimtab.types import Annotation


class Uncertainty(Component):
    """Keeps the `fraction` of labels with probabilities farthest from 1/2 (Guo & Yang 2024; SEAM's Uncertain Filter).

    That is ceil(n * fraction) of the n labels that prefer a response; ties go by pair id.
    """

    fraction: float = Field(0.5, gt=0, le=1)

    def requirements(self) -> Requirements:
        return Requirements(label_fields=frozenset({"confidence"}))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        del inputs
        return keep_top_fraction(annotations, compute_confidence, self.fraction)
