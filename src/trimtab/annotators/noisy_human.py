"""Human labels with random errors: a control for whether it matters *which* labels are wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Choice, Pair


class NoisyHuman(Component):
    """Human labels, with a random fraction flipped (Tao & Li 2025, table 11).

    Set `noise_rate`, the fraction to flip, or `arm`, an arm whose agreement with the human labels is matched exactly: as
    many labels are flipped as that arm gets wrong. `seed` and the pairs' ids determine which ones.
    """

    SYMMETRIC: ClassVar[bool] = True

    noise_rate: float | None = Field(None, ge=0, le=1)
    arm: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _require_one_rate(self) -> Self:
        if (self.noise_rate is None) == (self.arm is None):
            raise ValueError("set either noise_rate or arm")
        return self

    def requirements(self) -> Requirements:
        return Requirements(arms=() if self.arm is None else (self.arm,), human_labels=True)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset()

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        flipped_ids = self._select_flipped_ids(inputs)
        return [_annotate(pair, pair.id in flipped_ids) for pair in pairs]

    def _select_flipped_ids(self, inputs: AnnotatorInputs) -> set[str]:
        """The ids of the labels to flip: those with the lowest random numbers."""
        ids = sorted(inputs.human_labels)
        rate = self.noise_rate if self.arm is None else _compute_error_rate(inputs, self.arm)
        count = round((rate or 0.0) * len(ids))
        return set(sorted(ids, key=lambda key: random.Random(f"{self.seed}:{key}").random())[:count])


def _compute_error_rate(inputs: AnnotatorInputs, arm: str) -> float:
    """The fraction of an arm's labels that differ from the human ones, among pairs with both."""
    labels = inputs.labels[arm]
    errors = [
        label.choice != inputs.human_labels[key]
        for key, label in labels.items()
        if key in inputs.human_labels and label.choice is not None
    ]
    return sum(errors) / len(errors) if errors else 0.0


def _annotate(pair: Pair, is_flipped: bool) -> Annotation:
    if pair.human is None:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="no human label")
    other: Choice = "b" if pair.human == "a" else "a"
    choice = other if is_flipped else pair.human
    return Annotation(pair_id=pair.id, p_a=1.0 if choice == "a" else 0.0, note="flipped" if is_flipped else "")
