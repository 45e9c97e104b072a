"""Keeps the labels that agree with another arm, such as the strong model's."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import NoLabelsError
from trimtab.types import Annotation


class WeakStrongConsistency(Component):
    """Keeps a label if `arm` prefers the same response (SEAM's WSC Filter, with a strong arm).

    A pair on which that arm abstained or failed is not kept. Raises `NoLabelsError` if the arms never agree.
    """

    arm: str

    def requirements(self) -> Requirements:
        return Requirements(arms=(self.arm,))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        others = inputs.labels[self.arm]
        kept = [label.choice is not None and label.choice == others[label.pair_id].choice for label in annotations]
        if not any(kept):
            raise NoLabelsError(
                f"no labels kept: the arm {self.arm!r} prefers the same response on none of {len(kept)} pairs"
            )
        return kept
