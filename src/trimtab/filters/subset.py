"""Keeps labels drawn at random: the control for every filter that keeps fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import build_keep_mask
from trimtab.types import Annotation, text_hash


class Subset(Component):
    """Keeps labels drawn at random, a `fraction` of them, a `number`, or as many as the arm `like` has.

    Which ones follows from `seed` and the pairs' ids, so that a smaller draw of the same seed lies inside a larger one, and
    arms that draw from labels of the same pairs draw the same pairs. Counted and drawn are the labels that prefer a response;
    of a fraction the count is rounded up. Raises `DataError` where there are fewer than asked for.
    """

    fraction: float | None = Field(None, gt=0, le=1)
    num_labels: int | None = Field(None, ge=1)
    arm: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _require_one_size(self) -> Self:
        if sum(each is not None for each in (self.fraction, self.num_labels, self.arm)) != 1:
            raise ValueError("give one of fraction, number and like")
        return self

    def required_arms(self) -> Sequence[str]:
        return () if self.arm is None else (self.arm,)

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        ids = [label.pair_id for label in annotations if label.choice is not None]
        count = self._target_count(len(ids), given)
        if not 0 < count <= len(ids):
            raise DataError(
                f"nothing to keep: none of {len(annotations)} labels prefers a response"
                if not ids
                else f"subset: {count} labels are to be kept{self._describe_arm()}, and there are {len(ids)} that prefer a response"
            )
        return build_keep_mask(annotations, sorted(ids, key=self._sort_key)[:count])

    def _target_count(self, n: int, given: AnnotatorInputs) -> int:
        if self.arm is not None:
            return sum(label.choice is not None for label in given.labels[self.arm].values())
        # The decimal that was written, so that 0.55 of 100 is 55 and not 56.
        return self.num_labels or math.ceil(n * Fraction(str(self.fraction)))

    def _describe_arm(self) -> str:
        return "" if self.arm is None else f", as many as the arm {self.arm!r} has"

    def _sort_key(self, pair_id: str) -> str:
        return text_hash("subset", str(self.seed), pair_id)
