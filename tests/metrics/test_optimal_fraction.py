"""The most informative fraction of top-confidence labels, against counts and intervals worked out by hand."""

from __future__ import annotations

import random

import pytest

from trimtab.metrics.optimal_fraction import iter_fractions, select_optimal_fraction

# 50 confident labels, all correct, and 50 less confident ones, half of them correct
HALF_CONFIDENT = ([0.9] * 50 + [0.6] * 50, [True] * 50 + [True, False] * 25)


def test_uninformative_labels_are_left_out() -> None:
    best = select_optimal_fraction(*HALF_CONFIDENT)
    assert (best.fraction, best.accuracy.value, best.accuracy.n) == (0.5, 1.0, 50)
    # the lower end of Wilson's interval for 50 of 50 is 1 / (1 + 1.96² / 50) = 0.92865, and 0.5 (2 * 0.92865 - 1)² = 0.3674
    assert [best.information, best.information_lower] == pytest.approx([0.5, 0.3674], abs=1e-4)


def test_every_threshold_has_a_fraction_and_labels_of_equal_confidence_stay_together() -> None:
    confident, everything = iter_fractions(*HALF_CONFIDENT)
    assert (confident.fraction, everything.fraction) == (0.5, 1.0)
    # 75 of 100 are correct: (2 * 0.75 - 1)²
    assert everything.information == pytest.approx(0.25)


def test_a_few_labels_that_happen_to_be_correct_are_not_selected() -> None:
    rng = random.Random(6)
    confidences = [1 - index / 1000 for index in range(400)]
    correct = [index < 3 or rng.random() < 0.7 for index in range(400)]
    best = select_optimal_fraction(confidences, correct)
    naive = max(iter_fractions(confidences, correct), key=lambda step: 2 * (step.accuracy.value or 0) - 1)
    assert naive.fraction < 0.02
    assert best.fraction > 0.8


@pytest.mark.parametrize("correct", [[True, False] * 20, [False] * 40])
def test_labels_no_better_than_chance_are_all_kept_without_gain(correct: list[bool]) -> None:
    best = select_optimal_fraction([0.5 + index / 100 for index in range(40)], correct)
    assert (best.fraction, best.information_lower) == (1.0, 0.0)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    confidences, correct = HALF_CONFIDENT
    assert select_optimal_fraction(confidences[::-1], correct[::-1]) == select_optimal_fraction(confidences, correct)


def test_too_few_labels_unequal_lists_and_invalid_confidences_are_refused() -> None:
    with pytest.raises(ValueError, match="19 labeled pairs, expected 20"):
        select_optimal_fraction([0.9] * 19, [True] * 19)
    with pytest.raises(ValueError, match="20 confidences for 19"):
        select_optimal_fraction([0.9] * 20, [True] * 19)
    for invalid in (1.2, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"a confidence of {invalid}"):
            select_optimal_fraction([0.9] * 20 + [invalid], [True] * 21)
