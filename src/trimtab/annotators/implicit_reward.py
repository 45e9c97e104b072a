"""The implicit reward of a model aligned with DPO: the weak label of Tao & Li (2025)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements, ResponseScores
from trimtab.core.component import Component
from trimtab.types import Annotation, Cost, Pair


class ImplicitReward(Component):
    """Prefers the response whose log-probability DPO increased more (Tao & Li 2025, eq. 5).

    `margin` is log[pi(a|x)/pi_ref(a|x)] - log[pi(b|x)/pi_ref(b|x)] in nats, summed over tokens and without beta, so that
    labels, probabilities and filters can be recomputed from it; `p_a` is sigmoid(beta * margin). With `average_log_prob`, each
    log-ratio is divided by the response's tokens, so that long responses do not have larger margins; in nats per token, margins
    are smaller, and so are differences of `p_a` from one half. Exact ties abstain.
    `policy` and `reference` name models; `@weak` and `@weak.sft` are those of the study, `@NAME` and `@NAME.sft` those of its
    weak model NAME.
    """

    SYMMETRIC: ClassVar[bool] = True

    policy: str = "@weak"
    reference: str = "@weak.sft"
    beta: float = Field(0.1, gt=0, description="Tao & Li (2025); does not change which response is preferred")
    average_log_prob: bool = Field(
        False, description="false: sum over tokens (Tao & Li 2025, eq. 5); true: mean over tokens"
    )

    def requirements(self) -> Requirements:
        return Requirements(logprob_models=(self.policy, self.reference))

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        policy, reference = inputs.logprobs[self.policy], inputs.logprobs[self.reference]
        return [self._annotate(pair, policy[pair.id], reference[pair.id]) for pair in pairs]

    def _annotate(self, pair: Pair, policy: ResponseScores, reference: ResponseScores) -> Annotation:
        n_a, n_b = (max(1, policy.n_a), max(1, policy.n_b)) if self.average_log_prob else (1, 1)
        margin = (policy.a - reference.a) / n_a - (policy.b - reference.b) / n_b
        cost = Cost(prompt_tokens=policy.n_a + policy.n_b + reference.n_a + reference.n_b)
        if not math.isfinite(margin):
            note = policy.note or reference.note or f"margin {margin}"
            return Annotation(pair_id=pair.id, p_a=None, status="failed", note=note, cost=cost)
        if margin == 0:
            return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="tie", cost=cost)
        return Annotation(pair_id=pair.id, p_a=_sigmoid(self.beta * margin), margin=margin, cost=cost)


def _sigmoid(value: float) -> float:
    """The logistic function, without overflow."""
    small = math.exp(-abs(value))
    return 1 / (1 + small) if value >= 0 else small / (1 + small)
