"""Keeps the labels that agree with another arm, or those that disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import NoLabelsError
from trimtab.types import Annotation


class Agreement(Component):
    """Keeps the labels that agree with those of `arm` or, with `keep: mismatch`, those that disagree (Tao & Li 2025, table 1).

    Pairs on which either arm has no preference are in neither set. With `arm: human` the sets are those of Tao & Li
    (2025), and training on them is an analysis, since it uses human labels of the unlabeled pairs. Raises `NoLabelsError` if no
    label is kept.
    """

    model_config = ConfigDict(populate_by_name=True)

    arm: str = Field(description="the arm to compare with")
    keep_where: Literal["match", "mismatch"] = Field("match", alias="keep")

    def requirements(self) -> Requirements:
        return Requirements(arms=(self.arm,))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        others = inputs.labels[self.arm]
        kept = [_compare_choices(label, others[label.pair_id]) == self.keep_where for label in annotations]
        if not any(kept):
            response = {"match": "same", "mismatch": "other"}[self.keep_where]
            raise NoLabelsError(
                f"no labels kept: the arm {self.arm!r} prefers the {response} response on none of {len(kept)} pairs"
            )
        return kept


def _compare_choices(label: Annotation, other: Annotation) -> Literal["match", "mismatch"] | None:
    """None if either prefers neither response."""
    if label.choice is None or other.choice is None:
        return None
    return "match" if label.choice == other.choice else "mismatch"
