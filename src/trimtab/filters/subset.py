"""Keeps labels drawn at random: the control for every filter that keeps fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Self

from pydantic import Field, model_validator

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.filters._highest import among
from trimtab.protocols import Given
from trimtab.types import Annotation, text_hash


class Subset(Component):
    """Keeps labels drawn at random, a `fraction` of them, a `number`, or as many as the arm `like` has.

    Which ones follows from `seed` and the pairs' ids, so that a smaller draw of the same seed lies inside a larger one, and
    arms that draw from labels of the same pairs draw the same pairs. Counted and drawn are the labels that prefer a response;
    of a fraction the count is rounded up. Raises `DataError` where there are fewer than asked for.
    """

    fraction: float | None = Field(None, gt=0, le=1)
    number: int | None = Field(None, ge=1)
    like: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(each is not None for each in (self.fraction, self.number, self.like)) != 1:
            raise ValueError("give one of fraction, number and like")
        return self

    def arms(self) -> Sequence[str]:
        return () if self.like is None else (self.like,)

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        ids = [label.pair_id for label in annotations if label.choice is not None]
        count = self._count(len(ids), given)
        if not 0 < count <= len(ids):
            raise DataError(
                f"nothing to keep: none of {len(annotations)} labels prefers a response"
                if not ids
                else f"subset: {count} labels are to be kept{self._named()}, and there are {len(ids)} that prefer a response"
            )
        return among(annotations, sorted(ids, key=self._draw)[:count])

    def _count(self, n: int, given: Given) -> int:
        if self.like is not None:
            return sum(label.choice is not None for label in given.labels[self.like].values())
        # The decimal that was written, so that 0.55 of 100 is 55 and not 56.
        return self.number or math.ceil(n * Fraction(str(self.fraction)))

    def _named(self) -> str:
        return "" if self.like is None else f", as many as the arm {self.like!r} has"

    def _draw(self, pair_id: str) -> str:
        return text_hash("subset", str(self.seed), pair_id)
