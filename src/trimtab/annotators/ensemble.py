"""The mean of what several arms say, such as the weak and the strong model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.annotators._shared.aggregation import ArmNames, combine_labels, compute_mean_probability
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Ensemble(Component):
    """Averages the probabilities that other arms give response `a` (SEAM's WS-Ensemble, over a weak and a strong arm).

    `arms` names them. One that abstains counts as one half; where one failed there is no label, and where the mean is
    exactly one half the label abstains. `cost` is what the arms' labels took together, `detail` has each one's probability.
    """

    SYMMETRIC: ClassVar[bool] = True

    arms: ArmNames

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return self.arms

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        return [
            combine_labels({arm: given.labels[arm][pair.id] for arm in self.arms}, compute_mean_probability)
            for pair in pairs
        ]
