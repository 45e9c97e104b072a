"""Human labels: the upper bound of every study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair, build_human_annotation


class Human(Component):
    """Returns the human label with probability 1, and abstains on pairs without one."""

    SYMMETRIC: ClassVar[bool] = True

    def requirements(self) -> Requirements:
        return Requirements(human_labels=True)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset()

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [build_human_annotation(pair) for pair in pairs]
