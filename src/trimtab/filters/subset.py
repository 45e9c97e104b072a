"""Keeps a random subset of the labels: the control for every filter that keeps fewer labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import DataError, NoLabelsError
from trimtab.filters._shared.ranking import build_keep_mask
from trimtab.types import Annotation, text_hash


class Subset(Component):
    """Keeps a random subset of the labels: a `fraction`, a number (`num_labels`), or as many labels as `arm` has.

    The subset is a function of `seed` and the pairs' ids: with the same seed, a smaller subset is contained in a larger one,
    and arms with labels of the same pairs get the same subset. Only labels that prefer a response are counted and kept; the
    count of a fraction is rounded up. Raises `DataError` if there are fewer labels than requested.
    """

    fraction: float | None = Field(None, gt=0, le=1)
    num_labels: int | None = Field(None, ge=1)
    arm: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _require_one_size(self) -> Self:
        if sum(size is not None for size in (self.fraction, self.num_labels, self.arm)) != 1:
            raise ValueError("set exactly one of fraction, num_labels and arm")
        return self

    def requirements(self) -> Requirements:
        return Requirements(arms=() if self.arm is None else (self.arm,))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        pair_ids = [label.pair_id for label in annotations if label.choice is not None]
        if not pair_ids:
            raise NoLabelsError(f"no labels kept: none of {len(annotations)} labels prefers a response")
        count = self._target_count(len(pair_ids), inputs)
        if not 0 < count <= len(pair_ids):
            raise DataError(
                f"subset: {count} labels are requested{self._describe_arm()}, but only {len(pair_ids)} prefer a response"
            )
        return build_keep_mask(annotations, sorted(pair_ids, key=self._sort_key)[:count])

    def _target_count(self, n: int, inputs: AnnotatorInputs) -> int:
        if self.arm is not None:
            return sum(label.choice is not None for label in inputs.labels[self.arm].values())
        # the decimal as written, so that 0.55 of 100 is 55 and not 56
        return self.num_labels or math.ceil(n * Fraction(str(self.fraction)))

    def _describe_arm(self) -> str:
        return "" if self.arm is None else f", as many as the arm {self.arm!r} has"

    def _sort_key(self, pair_id: str) -> str:
        return text_hash("subset", str(self.seed), pair_id)
