"""Keeps as many of the surest labels as are worth keeping, told from labeled pairs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import compute_confidence, keep_top_fraction
from trimtab.metrics.optimal_fraction import MIN_PAIRS_FOR_FRACTION, SelectedFraction, select_optimal_fraction
from trimtab.types import Annotation


class OptimalFraction(Component):
    """Keeps the surest fraction q of the labels for which q(2a(q) - 1)² is greatest, a(q) being their accuracy (ours).

    a(q) is estimated on the labeled pairs, by labels of annotators that did not learn from them, and taken at the lower end of
    its interval; `filters/_best_fraction.py` says why. For an annotator that learns, it learns once for each of `folds`.
    """

    folds: int = Field(5, ge=2, le=50, description="ours")

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        return keep_top_fraction(annotations, compute_confidence, round(estimate_optimal_fraction(given).fraction, 6))


def estimate_optimal_fraction(given: AnnotatorInputs) -> SelectedFraction:
    """The fraction that the labels of the labeled pairs speak for. Raises `DataError` where there are too few of them."""
    known = [
        (compute_confidence(label), label.choice == given.human_labels[key])
        for key, label in given.out_of_fold_labels.items()
        if label.choice is not None and key in given.human_labels
    ]
    if len(known) < MIN_PAIRS_FOR_FRACTION:
        raise DataError(
            f"budget: {len(known)} of {len(given.out_of_fold_labels)} labeled pairs got a label to learn the budget from, expected "
            f"{MIN_PAIRS_FOR_FRACTION} or more"
        )
    return select_optimal_fraction([each for each, _ in known], [right for _, right in known])
