"""Keeps the labels on which another arm agrees."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.types import Annotation


class WeakStrongConsistency(Component):
    """Keeps a label where the arm `agrees_with` prefers the same response (SEAM's WSC Filter, with a strong arm).

    A pair on which that arm abstained or failed is not kept. Raises `DataError` where the arms never agree.
    """

    arm: str

    def required_arms(self) -> Sequence[str]:
        return (self.arm,)

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        others = given.labels[self.arm]
        kept = [label.choice is not None and label.choice == others[label.pair_id].choice for label in annotations]
        if not any(kept):
            raise DataError(
                f"nothing to keep: the arm {self.arm!r} prefers the same response on none of {len(kept)} pairs"
            )
        return kept
