"""The implicit reward of a model aligned with DPO: Tao & Li's weak label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, ResponseScores
from trimtab.core.component import Component
from trimtab.types import Annotation, Cost, Pair


class ImplicitReward(Component):
    """Prefers the response whose probability DPO raised more (Tao & Li 2025, eq. 5).

    `margin` is log[pi(a|x)/pi_ref(a|x)] - log[pi(b|x)/pi_ref(b|x)] in nats, summed over tokens and without beta, so that
    labels, probabilities and filters can be derived from it again; `p_a` is sigmoid(beta * margin). An exact tie abstains.
    `policy` and `reference` name models; `@weak` and `@weak.sft` are the study's own.
    """

    SYMMETRIC: ClassVar[bool] = True

    policy: str = "@weak"
    reference: str = "@weak.sft"
    beta: float = Field(0.1, gt=0, description="paper; does not change which response is preferred")

    def logprob_models(self) -> Sequence[str]:
        return (self.policy, self.reference)

    def required_arms(self) -> Sequence[str]:
        return ()

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        policy, reference = given.logprobs[self.policy], given.logprobs[self.reference]
        return [self._annotate(pair, policy[pair.id], reference[pair.id]) for pair in pairs]

    def _annotate(self, pair: Pair, policy: ResponseScores, reference: ResponseScores) -> Annotation:
        margin = (policy.a - reference.a) - (policy.b - reference.b)
        cost = Cost(prompt_tokens=policy.n_a + policy.n_b + reference.n_a + reference.n_b)
        if not math.isfinite(margin):
            note = policy.note or reference.note or f"margin {margin}"
            return Annotation(pair_id=pair.id, p_a=None, status="failed", note=note, cost=cost)
        if margin == 0:
            return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="tie", cost=cost)
        return Annotation(pair_id=pair.id, p_a=_sigmoid(self.beta * margin), margin=margin, cost=cost)


def _sigmoid(value: float) -> float:
    """Without overflow on either side."""
    small = math.exp(-abs(value))
    return 1 / (1 + small) if value >= 0 else small / (1 + small)
