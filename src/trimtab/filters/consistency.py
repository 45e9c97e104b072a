"""Keeps the labels that do not depend on the presentation order."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import DataError, NoLabelsError
from trimtab.types import Annotation


class Consistency(Component):
    """Keeps a label if the model preferred the same response in both orders (Zheng et al. 2023, section 3.4).

    Reads `detail["order_inconsistent"]`, which annotators set that present pairs in both orders. Raises `DataError` for a
    label without it, and if no label is kept.
    """

    def requirements(self) -> Requirements:
        return Requirements(label_fields=frozenset({"order_consistency"}))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        del inputs
        kept = [label.choice is not None and not _is_order_inconsistent(label) for label in annotations]
        if not any(kept):
            raise NoLabelsError(f"no labels kept: none of {len(kept)} labels prefers the same response in both orders")
        return kept


def _is_order_inconsistent(label: Annotation) -> bool:
    value = label.detail.get("order_inconsistent")
    if not isinstance(value, bool):
        raise DataError(
            f"label of pair {label.pair_id}: detail.order_inconsistent is {value!r}, expected true or false; this filter needs "
            "labels by `prompted`, `self_reward`, `consultancy` or `debate` with `presentation_order: both` or `most_confident`"
        )
    return value
