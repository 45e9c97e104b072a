"""Keeps the labels on which another arm agrees, or those on which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.types import Annotation


class Agreement(Component):
    """Keeps a label where the arm `with` prefers the same response, or with `keep: mismatch` where it prefers the other
    (Tao & Li 2025, table 1).

    A pair on which either arm prefers nothing is in neither set. With `with: human` the sets are those of the paper, and what
    is learned from them is a diagnosis, since it takes human labels of the unlabeled pairs. Raises `DataError` where the set
    is empty.
    """

    model_config = ConfigDict(populate_by_name=True)

    arm: str = Field(description="the other arm")
    keep_where: Literal["match", "mismatch"] = Field("match", alias="keep")

    def required_arms(self) -> Sequence[str]:
        return (self.arm,)

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        others = given.labels[self.arm]
        kept = [_compare_choices(label, others[label.pair_id]) == self.keep_where for label in annotations]
        if not any(kept):
            preferred = {"match": "the same", "mismatch": "the other"}[self.keep_where]
            raise DataError(
                f"nothing to keep: the arm {self.arm!r} prefers {preferred} response on none of {len(kept)} pairs"
            )
        return kept


def _compare_choices(ours: Annotation, theirs: Annotation) -> Literal["match", "mismatch"] | None:
    """None where either prefers nothing."""
    if ours.choice is None or theirs.choice is None:
        return None
    return "match" if ours.choice == theirs.choice else "mismatch"
