"""Keeps the labels that are surest."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.filters._shared.ranking import compute_confidence, keep_top_fraction
from trimtab.types import Annotation


class Uncertainty(Component):
    """Keeps the `fraction` of labels whose probability is farthest from one half (Guo & Yang 2024; SEAM's Uncertain Filter).

    That is ceil(n * fraction) of the n labels that prefer a response; equally sure ones go by pair id.
    """

    fraction: float = Field(0.5, gt=0, le=1)

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        del given
        return keep_top_fraction(annotations, compute_confidence, self.fraction)
