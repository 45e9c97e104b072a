"""Random baseline: labels that carry no information."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Random(Component):
    """Chooses either response with probability 1/2, and reports it with probability 1.

    The label is a function of `seed` and the pair's id, and selects a text rather than a position. Each label has the same
    weight as a human one, so an arm of random labels shows the effect of training alone.
    """

    SYMMETRIC: ClassVar[bool] = True

    seed: int = 0

    def requirements(self) -> Requirements:
        return Requirements()

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset()

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [self._annotate(pair) for pair in pairs]

    def _annotate(self, pair: Pair) -> Annotation:
        # the salt keeps these draws independent of `noisy_human`, which also draws from the seed and the id
        prefers_lower_text = random.Random(f"coin:{self.seed}:{pair.id}").random() < 0.5
        return Annotation(pair_id=pair.id, p_a=1.0 if prefers_lower_text == (pair.a < pair.b) else 0.0)
