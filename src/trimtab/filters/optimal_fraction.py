"""Keeps the fraction of the most confident labels with the most information, estimated on the labeled pairs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import compute_confidence, keep_top_fraction
from trimtab.metrics.optimal_fraction import MIN_PAIRS_FOR_FRACTION, SelectedFraction, select_optimal_fraction
from trimtab.types import Annotation


class OptimalFraction(Component):
    """Keeps the most confident fraction q of the labels that maximizes q(2a(q) - 1)², with accuracy a(q) (our method).

    a(q) is estimated on the labeled pairs, from labels by annotators that were not trained on them, and taken at the lower
    end of its confidence interval (see `metrics.optimal_fraction`). A trained annotator is trained once per fold of `folds`.
    """

    folds: int = Field(5, ge=2, le=50, description="our default")

    def requirements(self) -> Requirements:
        return Requirements(cross_fit_folds=self.folds, label_fields=frozenset({"confidence"}))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        fraction = round(estimate_optimal_fraction(inputs).fraction, 6)
        return keep_top_fraction(annotations, compute_confidence, fraction)


def estimate_optimal_fraction(inputs: AnnotatorInputs) -> SelectedFraction:
    """Estimates the optimal fraction from the labels of the labeled pairs. Raises `DataError` if there are too few."""
    evaluated = [
        (compute_confidence(label), label.choice == inputs.human_labels[pair_id])
        for pair_id, label in inputs.out_of_fold_labels.items()
        if label.choice is not None and pair_id in inputs.human_labels
    ]
    if len(evaluated) < MIN_PAIRS_FOR_FRACTION:
        raise DataError(
            f"optimal_fraction: {len(evaluated)} of {len(inputs.out_of_fold_labels)} labeled pairs got a label to estimate "
            f"the fraction from, expected at least {MIN_PAIRS_FOR_FRACTION}"
        )
    return select_optimal_fraction([confidence for confidence, _ in evaluated], [right for _, right in evaluated])
