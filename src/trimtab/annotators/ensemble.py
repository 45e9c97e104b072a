"""Ensemble: averages the probabilities of several arms, such as a weak and a strong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.annotators._shared.aggregation import ArmNames, combine_labels, compute_mean_probability
from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Ensemble(Component):
    """Averages the probabilities of the `arms` (SEAM's WS-Ensemble, over a weak and a strong arm).

    An arm that abstains counts as 1/2. The label fails if an arm failed, and abstains if the mean is exactly 1/2. `cost` is
    the total cost of the arms' labels; `detail` has each arm's probability.
    """

    SYMMETRIC: ClassVar[bool] = True

    arms: ArmNames

    def requirements(self) -> Requirements:
        return Requirements(arms=self.arms)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [
            combine_labels({arm: inputs.labels[arm][pair.id] for arm in self.arms}, compute_mean_probability)
            for pair in pairs
        ]
