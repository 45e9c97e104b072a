"""Keeps as many of the surest labels as are worth keeping, told from labeled pairs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.filters._best_fraction import FEWEST, Kept, best_fraction
from trimtab.filters._highest import confidence, highest
from trimtab.protocols import Given
from trimtab.types import Annotation


class Budget(Component):
    """Keeps the surest fraction q of the labels for which q(2a(q) - 1)² is greatest, a(q) being their accuracy (ours).

    a(q) is estimated on the labeled pairs, by labels of annotators that did not learn from them, and taken at the lower end of
    its interval; `filters/_best_fraction.py` says why. For an annotator that learns, it learns once for each of `folds`.
    """

    folds: int = Field(5, ge=2, le=50, description="ours")

    def arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: Given) -> list[bool]:
        return highest(annotations, confidence, round(best(given).fraction, 6))


def best(given: Given) -> Kept:
    """The fraction that the labels of the labeled pairs speak for. Raises `DataError` where there are too few of them."""
    known = [
        (confidence(label), label.choice == given.human[key])
        for key, label in given.held_out.items()
        if label.choice is not None and key in given.human
    ]
    if len(known) < FEWEST:
        raise DataError(
            f"budget: {len(known)} of {len(given.held_out)} labeled pairs got a label to learn the budget from, expected "
            f"{FEWEST} or more"
        )
    return best_fraction([each for each, _ in known], [right for _, right in known])
