"""Certified labels: exact bounds, the order of the tests, and validity in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.stats.certification import certify_labels, count_fewest_pairs, count_required_pairs


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


def test_fewer_pairs_than_can_certify_are_not_tested() -> None:
    # 0.8^13 = 0.055 and 0.8^14 = 0.044: with 95% confidence, 14 correct labels certify 80%, 13 do not
    assert count_fewest_pairs(0.8, 0.95) == 14
    result = certify_labels([0.9], [0.9] * 13, [True] * 13, accuracy=0.8)
    assert (result.tests, result.min_pairs) == ((), 14)
    assert certify_labels([0.9], [0.9] * 14, [True] * 14, accuracy=0.8).certified is not None


def test_the_first_test_is_at_a_third_of_the_share_that_the_confidences_promise() -> None:
    # the mean of the n most confident is 0.95 - 0.25 (n - 1) / 99: at least 0.8 up to n = 60, and a third of 60% is 20%
    confidences = [0.95 - 0.5 * rank / 99 for rank in range(100)]
    result = certify_labels(confidences, confidences, [True] * 100, accuracy=0.8)
    assert [test.share for test in result.tests] == pytest.approx([0.2 + 0.05 * step for step in range(17)])


def test_without_confident_labels_the_first_test_needs_more_pairs() -> None:
    # with 82 pairs, 72 correct ones certify 80%, and labels of accuracy 90% reach 72 with a probability of at least 80%
    required = count_required_pairs(0.8, 0.95)
    assert required == 82
    assert binom.sf(71, 82, 0.8) <= 0.05 < binom.sf(70, 82, 0.8)
    assert binom.sf(71, 82, 0.9) >= 0.8
    assert certify_labels([0.6], [0.6] * 81, [True] * 81, accuracy=0.8).tests == ()
    assert certify_labels([0.6], [0.6] * 82, [True] * 72 + [False] * 10, accuracy=0.8).certified is not None
    assert certify_labels([0.6], [0.6] * 82, [True] * 71 + [False] * 11, accuracy=0.8).certified is None


@pytest.mark.parametrize("overconfidence", [1, 3])
@pytest.mark.parametrize("accuracy", [0.7, 0.8])
def test_at_most_5_percent_of_certified_thresholds_are_too_loose(accuracy: float, overconfidence: int) -> None:
    rng, draws, failures, certified = np.random.default_rng(1), 600, 0, 0
    for _ in range(draws):
        # a label of rank c is correct with the probability 0.5 + 0.45 c
        labeled, pool = 0.5 + 0.45 * rng.random(200), 0.5 + 0.45 * rng.random(200)
        is_correct = rng.random(200) < labeled
        confidences, labeled_confidences = (1 / (1 + (1 / p - 1) ** overconfidence) for p in (pool, labeled))
        result = certify_labels(
            confidences.tolist(), labeled_confidences.tolist(), is_correct.tolist(), accuracy=accuracy
        )
        if result.certified is not None:
            certified += 1
            # the mean of p over p in [threshold, 0.95]
            failures += (pool[confidences >= result.certified.threshold].min() + 0.95) / 2 < accuracy
    assert certified > draws / 4
    # 5% and three standard errors
    assert failures / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


def test_labels_just_below_the_promise_are_rarely_certified() -> None:
    rng, draws, certified = np.random.default_rng(2), 600, 0
    for _ in range(draws):
        labeled, pool = (0.5 + 0.45 * rng.random(200) for _ in range(2))
        result = certify_labels(pool.tolist(), labeled.tolist(), (rng.random(200) < 0.799).tolist(), accuracy=0.8)
        certified += result.certified is not None
    assert 0 < certified / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.parametrize(
    "arguments", [{"confidences": []}, {"is_correct": [True]}, {"accuracy": 1.0}, {"confidence": 0.0}]
)
def test_invalid_inputs_are_rejected(arguments: dict[str, object]) -> None:
    valid = {"confidences": [0.9], "labeled_confidences": [0.9, 0.8], "is_correct": [True, False], "accuracy": 0.8}
    with pytest.raises(ValueError, match="certified"):
        certify_labels(**{**valid, **arguments})  # type: ignore[arg-type]
