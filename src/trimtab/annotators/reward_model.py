"""A Bradley-Terry reward model trained on the labeled pairs: weak labels without a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.config.training import RewardModelSettings
from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements, ResponseScores, RewardModelSpec
from trimtab.core.component import Component
from trimtab.types import Annotation, Cost, Pair


class RewardModel(Component):
    """Prefers the response with the higher reward, from a model with a linear head trained on the labeled pairs.

    `margin` is the difference of the rewards in nats, `p_a` its sigmoid (Bradley & Terry 1952). Exact ties abstain.
    """

    SYMMETRIC: ClassVar[bool] = True

    model: str = Field(
        "@weak.base", description="model to train: by default the study's weak model before any training"
    )
    training: RewardModelSettings = Field(default_factory=RewardModelSettings)

    def requirements(self) -> Requirements:
        return Requirements(reward_model=RewardModelSpec(model=self.model, training=self.training))

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [_annotate(pair.id, inputs.rewards[pair.id]) for pair in pairs]


def _annotate(pair_id: str, rewards: ResponseScores) -> Annotation:
    margin, cost = rewards.a - rewards.b, Cost(prompt_tokens=rewards.n_a + rewards.n_b)
    if not math.isfinite(margin):
        note = f"rewards {rewards.a}, {rewards.b}"
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=note, cost=cost)
    if margin == 0:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost)
    p_a = 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
    return Annotation(pair_id=pair_id, p_a=p_a, margin=margin, cost=cost)
