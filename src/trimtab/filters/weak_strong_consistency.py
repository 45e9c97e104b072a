"""Keeps the labels on which another arm agrees."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.protocols import Given
from trimtab.types import Annotation


class WeakStrongConsistency(Component):
    """Keeps a label where the arm `agrees_with` prefers the same response (SEAM's WSC Filter, with a strong arm).

    A pair on which that arm abstained or failed is not kept. Raises `DataError` where the arms never agree.
    """

    agrees_with: str

    def arms(self) -> Sequence[str]:
        return (self.agrees_with,)

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        others = given.labels[self.agrees_with]
        kept = [label.choice is not None and label.choice == others[label.pair_id].choice for label in annotations]
        if not any(kept):
            raise DataError(
                f"nothing to keep: the arm {self.agrees_with!r} prefers the same response on none of {len(kept)} pairs"
            )
        return kept
