"""A fair coin: what labels are worth that know nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Random(Component):
    """Prefers either response by the toss of a fair coin, and says so with probability 1.

    The toss follows from `seed` and the pair's id and picks a text rather than a position. Every such label weighs as much
    as a person's, so that an arm of them shows what training alone does.
    """

    SYMMETRIC: ClassVar[bool] = True

    seed: int = 0

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return ()

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        return [self._annotate(pair) for pair in pairs]

    def _annotate(self, pair: Pair) -> Annotation:
        # JudgeChoice for this annotator: `flip` draws from the same seed and id, and the two must not go together.
        lower_text = random.Random(f"coin:{self.seed}:{pair.id}").random() < 0.5
        return Annotation(pair_id=pair.id, p_a=1.0 if lower_text == (pair.a < pair.b) else 0.0)
