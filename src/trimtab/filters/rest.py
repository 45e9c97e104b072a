"""Keeps the labels of pairs on which another arm has none: those that are new to a model that learned from it."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.protocols import Given
from trimtab.types import Annotation


class Rest(Component):
    """Keeps the labels of pairs on which the arm `of`, once filtered, prefers nothing.

    With `of` an arm that keeps a part of its labels, an arm that is labeled by what was trained on these (`@ARM.preference`)
    is left with pairs that are new to it: the alignment scenario of SEAM. Raises `DataError` where nothing is left.
    """

    of: str

    def arms(self) -> Sequence[str]:
        return (self.of,)

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        others = given.labels[self.of]
        kept = [label.choice is not None and others[label.pair_id].choice is None for label in annotations]
        if not any(kept):
            raise DataError(
                f"nothing to keep: the arm {self.of!r} prefers a response on every pair that has a label here; let its filter "
                "keep a part"
            )
        return kept
