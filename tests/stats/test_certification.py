"""Certified labels: exact bounds, the order of the tests, and validity in simulations."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.stats.certification import certify_labels, count_required_pairs


def test_the_lower_bound_is_exact() -> None:
    # all of n correct: the bound solves bound**n = 1 - confidence
    result = certify_labels([0.9] * 10, [0.9] * 100, [True] * 100, accuracy=0.8, confidence=0.95)
    assert result.certified is not None
    assert (result.certified.share, result.certified.n, result.certified.num_correct) == (1.0, 100, 100)
    assert result.certified.accuracy_lower == pytest.approx(0.05 ** (1 / 100))


def test_the_loosest_threshold_before_the_first_failure_is_certified() -> None:
    # confident pairs are always correct, the others at chance
    confidences = [0.9] * 100 + [0.6] * 100
    is_correct = [True] * 100 + [True, False] * 50
    result = certify_labels(confidences, confidences, is_correct, accuracy=0.8)
    assert result.certified is not None
    assert (result.certified.threshold, result.certified.share) == (0.9, 0.5)
    assert [test.threshold for test in result.tests] == [0.9, 0.6]
    assert result.tests[1].accuracy_lower < 0.8


def test_a_threshold_after_a_failure_is_not_tested() -> None:
    # the most confident pairs are at chance; all pairs together would pass
    confidences = [0.9] * 100 + [0.6] * 400
    result = certify_labels(confidences, confidences, [True, False] * 50 + [True] * 400, accuracy=0.8)
    assert result.certified is None
    assert len(result.tests) == 1


def test_too_few_labeled_pairs_certify_nothing() -> None:
    required = count_required_pairs(0.8, 0.95)
    confidences = [0.9] * (required - 1)
    assert certify_labels(confidences, confidences, [True] * (required - 1), accuracy=0.8).tests == ()
    assert certify_labels([0.9], [0.9] * required, [True] * required, accuracy=0.8).certified is not None


@pytest.mark.parametrize("accuracy", [0.7, 0.8])
def test_at_most_5_percent_of_certified_thresholds_are_too_loose(accuracy: float) -> None:
    rng, draws, failures, certified = np.random.default_rng(1), 600, 0, 0
    for _ in range(draws):
        labeled, pool = rng.random(200), rng.random(200)
        is_correct = rng.random(200) < 0.5 + 0.45 * labeled
        result = certify_labels(pool.tolist(), labeled.tolist(), is_correct.tolist(), accuracy=accuracy)
        if result.certified is not None:
            certified += 1
            # the mean of 0.5 + 0.45 c over c in [threshold, 1]
            failures += 0.5 + 0.45 * (result.certified.threshold + 1) / 2 < accuracy
    assert certified > draws / 4
    # 5% and three standard errors
    assert failures / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.parametrize(
    "arguments", [{"confidences": []}, {"is_correct": [True]}, {"accuracy": 1.0}, {"confidence": 0.0}]
)
def test_invalid_inputs_are_rejected(arguments: dict[str, object]) -> None:
    valid = {"confidences": [0.9], "labeled_confidences": [0.9, 0.8], "is_correct": [True, False], "accuracy": 0.8}
    with pytest.raises(ValueError, match="certified"):
        certify_labels(**{**valid, **arguments})  # type: ignore[arg-type]
