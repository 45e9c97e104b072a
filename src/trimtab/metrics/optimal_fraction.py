"""The most informative fraction of top-confidence labels, estimated on human-labeled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from trimtab.stats import proportion
from trimtab.types import Metric

MIN_PAIRS_FOR_FRACTION = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedFraction:
    """The effect of keeping the `fraction` of labels with the highest confidence.

    `information` is q(2a - 1)² for fraction q and accuracy a: the share of the information in equally many error-free labels
    of all pairs. `information_lower` is the same at the lower end of the accuracy's interval.
    """

    fraction: float
    accuracy: Metric
    information: float
    information_lower: float


def select_optimal_fraction(confidences: Sequence[float], is_correct: Sequence[bool]) -> SelectedFraction:
    """The fraction q of top-confidence labels that maximizes q(2a(q) - 1)², where a(q) is their accuracy.

    Labels that are wrong at random with probability 1 - a carry (2a - 1)² times the information of correct labels (Fisher
    information for small effects, with errors that do not depend on the pair). Each a(q) is taken at the lower end of Wilson's
    interval, and at no less than one half: otherwise a few confident labels that happen to be correct would always win. Labels
    of equal confidence stay together. Ties go to the largest fraction; if no fraction is significantly better than chance,
    that is all labels, with `information_lower` of 0. Raises `ValueError` for fewer than 20 pairs, lists of different
    lengths, and confidences outside [0, 1].
    """
    if len(confidences) != len(is_correct):
        raise ValueError(f"optimal_fraction: {len(confidences)} confidences for {len(is_correct)} outcomes")
    if len(confidences) < MIN_PAIRS_FOR_FRACTION:
        raise ValueError(
            f"optimal_fraction: {len(confidences)} labeled pairs, expected {MIN_PAIRS_FOR_FRACTION} or more"
        )
    invalid = next((confidence for confidence in confidences if not 0 <= confidence <= 1), None)
    if invalid is not None:
        raise ValueError(f"optimal_fraction: a confidence of {invalid}, expected numbers in [0, 1]")
    return max(iter_fractions(confidences, is_correct), key=lambda step: (step.information_lower, step.fraction))


def iter_fractions(confidences: Sequence[float], is_correct: Sequence[bool]) -> Iterator[SelectedFraction]:
    """Every fraction that a confidence threshold can keep, in ascending order."""
    ranked = sorted(zip(confidences, is_correct, strict=True), key=lambda label: -label[0])
    n = num_correct = 0
    for _, group in groupby(ranked, key=lambda label: label[0]):
        outcomes = [outcome for _, outcome in group]
        n, num_correct = n + len(outcomes), num_correct + sum(outcomes)
        accuracy = proportion(num_correct, n)
        yield SelectedFraction(
            fraction=n / len(ranked),
            accuracy=accuracy,
            information=_compute_information(n / len(ranked), num_correct / n),
            information_lower=_compute_information(n / len(ranked), accuracy.low or 0.0),
        )


def _compute_information(fraction: float, accuracy: float) -> float:
    return fraction * max(2 * accuracy - 1, 0.0) ** 2
