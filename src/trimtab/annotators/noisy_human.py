"""Human labels, some of them turned over at random: the control for how much *which* labels are wrong matters."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.types import Annotation, Choice, Pair


class NoisyHuman(Component):
    """Human labels with a share flipped, drawn at random (Tao & Li 2025, table 11).

    Give `rate`, the share to flip, or `like`, an arm whose agreement with the human labels is to be matched: then as many
    labels are flipped as that arm gets wrong, to the label. Which ones follows from `seed` and the pairs' ids.
    """

    SYMMETRIC: ClassVar[bool] = True

    noise_rate: float | None = Field(None, ge=0, le=1)
    arm: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _require_one_rate(self) -> Self:
        if (self.noise_rate is None) == (self.arm is None):
            raise ValueError("give either noise_rate or arm")
        return self

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return () if self.arm is None else (self.arm,)

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        flipped = self._select_flipped_ids(given)
        return [_annotate(pair, pair.id in flipped) for pair in pairs]

    def _select_flipped_ids(self, given: AnnotatorInputs) -> set[str]:
        """The ids to flip: those with the lowest draws."""
        among = sorted(given.human_labels)
        rate = self.noise_rate if self.arm is None else _compute_error_rate(given, self.arm)
        count = round((rate or 0.0) * len(among))
        return set(sorted(among, key=lambda key: random.Random(f"{self.seed}:{key}").random())[:count])


def _compute_error_rate(given: AnnotatorInputs, arm: str) -> float:
    """The share of an arm's labels that differ from the human ones, over the pairs that have both."""
    both = [
        (label.choice, given.human_labels[key]) for key, label in given.labels[arm].items() if key in given.human_labels
    ]
    wrong = [choice != human for choice, human in both if choice is not None]
    return sum(wrong) / len(wrong) if wrong else 0.0


def _annotate(pair: Pair, flipped: bool) -> Annotation:
    if pair.human is None:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="no human label")
    other: Choice = "b" if pair.human == "a" else "a"
    choice = other if flipped else pair.human
    return Annotation(pair_id=pair.id, p_a=1.0 if choice == "a" else 0.0, note="flipped" if flipped else "")
