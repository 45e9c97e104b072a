"""Keeps the labels of pairs on which another arm has none: those that are new to a model that learned from it."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.types import Annotation


class Complement(Component):
    """Keeps the labels of pairs on which the arm `of`, once filtered, prefers nothing.

    With `of` an arm that keeps a part of its labels, an arm that is labeled by what was trained on these (`@ARM.preference`)
    is left with pairs that are new to it: the alignment scenario of SEAM. Raises `DataError` where nothing is left.
    """

    arm: str

    def required_arms(self) -> Sequence[str]:
        return (self.arm,)

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        others = given.labels[self.arm]
        kept = [label.choice is not None and others[label.pair_id].choice is None for label in annotations]
        if not any(kept):
            raise DataError(
                f"nothing to keep: the arm {self.arm!r} prefers a response on every pair that has a label here; let its filter "
                "keep a part"
            )
        return kept
