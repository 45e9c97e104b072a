"""How many of the surest labels are worth keeping, told from pairs that people labeled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from trimtab.stats import proportion
from trimtab.types import Metric

MIN_PAIRS_FOR_FRACTION = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedFraction:
    """What keeping the surest `fraction` of labels would mean: their accuracy, and the share q(2a - 1)² of what as many labels
    without an error would tell, at the accuracy a that is found (`information`) and at its lower end (`at_least`)."""

    fraction: float
    accuracy: Metric
    information: float
    information_lower: float


def select_optimal_fraction(confidences: Sequence[float], correct: Sequence[bool]) -> SelectedFraction:
    """The fraction q of the surest labels for which q(2a(q) - 1)² is greatest, a(q) being their accuracy.

    Pairs whose labels are wrong by chance with probability 1 - a tell as much as (2a - 1)² times as many that are right
    (Fisher's information for small effects, under errors that do not depend on the pair). A few sure labels that happen to be
    right would always seem best, so each a(q) is taken at the lower end of Wilson's interval, and at no less than one half.
    Equally sure labels stay together. Of equal fractions the greatest is taken; where no fraction is surely better than
    chance, that is all of them, with `at_least` of 0. Raises `ValueError` for fewer than 20 pairs and for lists of two lengths.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"best_fraction: {len(confidences)} confidences for {len(correct)} outcomes")
    if len(confidences) < MIN_PAIRS_FOR_FRACTION:
        raise ValueError(f"best_fraction: {len(confidences)} labeled pairs, expected {MIN_PAIRS_FOR_FRACTION} or more")
    wrong = next((each for each in confidences if not 0 <= each <= 1), None)
    if wrong is not None:
        raise ValueError(f"best_fraction: a confidence of {wrong}, expected numbers in [0, 1]")
    return max(iter_fractions(confidences, correct), key=lambda each: (each.information_lower, each.fraction))


def iter_fractions(confidences: Sequence[float], correct: Sequence[bool]) -> Iterator[SelectedFraction]:
    """Every fraction that a threshold on the confidence can keep, the smallest first."""
    surest = sorted(zip(confidences, correct, strict=True), key=lambda each: -each[0])
    n = right = 0
    for _, group in groupby(surest, key=lambda each: each[0]):
        outcomes = [outcome for _, outcome in group]
        n, right = n + len(outcomes), right + sum(outcomes)
        accuracy = proportion(right, n)
        yield SelectedFraction(
            fraction=n / len(surest),
            accuracy=accuracy,
            information=_compute_information(n / len(surest), right / n),
            information_lower=_compute_information(n / len(surest), accuracy.low or 0.0),
        )


def _compute_information(fraction: float, accuracy: float) -> float:
    return fraction * max(2 * accuracy - 1, 0.0) ** 2
