"""Keeps the labels that do not hang on which response stood first."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.types import Annotation


class Consistency(Component):
    """Keeps a label where the model preferred the same response in both orders (Zheng et al. 2023, section 3.4).

    Whether it did is `detail["order_inconsistent"]` of labels by annotators that ask in both orders. Raises `DataError` for a label that
    does not say, and where none is consistent.
    """

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        del given
        kept = [label.choice is not None and not _is_order_inconsistent(label) for label in annotations]
        if not any(kept):
            raise DataError(f"nothing to keep: none of {len(kept)} labels prefers the same response in both orders")
        return kept


def _is_order_inconsistent(label: Annotation) -> bool:
    flipped = label.detail.get("order_inconsistent")
    if not isinstance(flipped, bool):
        raise DataError(
            f"label of pair {label.pair_id}: detail.order_inconsistent is {flipped!r}, expected true or false; this filter reads labels "
            "by `prompted`, `self_reward`, `consultancy` or `debate` with `orders: both` or `surer`"
        )
    return flipped
