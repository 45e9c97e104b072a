"""Keeps the labels of pairs that another arm does not use: pairs that are new to a model trained on that arm."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import NoLabelsError
from trimtab.types import Annotation


class Complement(Component):
    """Keeps the labels of pairs on which `arm`, after its own filter, has no preferred response.

    If a model is trained on the labels that `arm` keeps (`@ARM.preference_model`) and then labels another arm, this filter
    leaves only pairs that the model was not trained on: the alignment scenario of SEAM. Raises `NoLabelsError` if no label is
    kept.
    """

    arm: str

    def requirements(self) -> Requirements:
        return Requirements(arms=(self.arm,))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        others = inputs.labels[self.arm]
        kept = [label.choice is not None and others[label.pair_id].choice is None for label in annotations]
        if not any(kept):
            raise NoLabelsError(
                f"no labels kept: the arm {self.arm!r} prefers a response on every pair that is labeled here; give it a "
                "filter that keeps only a part"
            )
        return kept
