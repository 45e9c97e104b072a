import math
import random

import pytest

from trimtab.stats import mean, ppi_mean
from trimtab.types import Metric


def rows(n: int, noise: float, bias: float = 0.0, seed: int = 1) -> tuple[list[float], list[float]]:
    rng = random.Random(seed)
    truths = [rng.gauss(2, 1) for _ in range(n)]
    return truths, [truth + bias + rng.gauss(0, noise) for truth in truths]


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def test_the_estimate_of_the_paper_is_worked_by_hand() -> None:
    # mean(unlabeled) + mean(truths - predictions) = 5 + (-1 + 0 + 1 + 2) / 4; variances 5/3 / 4 and 8/3 / 4; t of 3 is 3.1824.
    metric = ppi_mean([1, 3, 5, 7], [2, 3, 4, 5], [3, 5, 5, 7], tune_weight=False)
    assert metric.value == 5.5
    half = 3.182446 * math.sqrt(5 / 3 / 4 + 8 / 3 / 4)
    assert (metric.low, metric.high) == pytest.approx((5.5 - half, 5.5 + half), abs=1e-5)


def test_tuning_is_that_of_ppi_plus_plus() -> None:
    # cov(y, f) / n = 10/3 / 4 and var(f) / n + var(f) / N = 5/3 / 4 + 8/3 / 4: 10 / 13.
    metric = ppi_mean([1, 3, 5, 7], [2, 3, 4, 5], [3, 5, 5, 7])
    assert metric.value == pytest.approx(4 + 10 / 13 * (5 - 3.5))


def test_good_predictions_narrow_the_interval_and_their_bias_does_no_harm() -> None:
    truths, told = rows(100, noise=0.2, bias=3.0)
    _, unlabeled = rows(5000, noise=0.2, bias=3.0, seed=2)
    metric = ppi_mean(truths, told, unlabeled)
    assert metric.value == pytest.approx(2.0, abs=0.1)
    assert width(metric) < 0.4 * width(mean(truths))


def test_worthless_predictions_cost_nothing_when_tuned_and_much_when_not() -> None:
    truths, _ = rows(200, noise=0.0)
    rng = random.Random(9)
    told, unlabeled = ([rng.gauss(0, 3) for _ in range(n)] for n in (200, 400))
    assert width(ppi_mean(truths, told, unlabeled)) < 1.03 * width(mean(truths))
    assert width(ppi_mean(truths, told, unlabeled, tune_weight=False)) > 2 * width(mean(truths))


def test_constant_predictions_leave_the_mean_of_the_truths() -> None:
    assert ppi_mean([1, 2, 6], [4, 4, 4], [4, 4, 4, 4]).value == 3.0


def test_rows_of_one_prompt_count_as_one_draw() -> None:
    truths, told = rows(100, noise=0.5)
    _, unlabeled = rows(500, noise=0.5, seed=2)
    thrice = ppi_mean(
        truths * 3,
        told * 3,
        unlabeled * 3,
        clusters=[i % 100 for i in range(300)],
        unlabeled_clusters=[i % 500 for i in range(1500)],
    )
    assert width(thrice) == pytest.approx(width(ppi_mean(truths, told, unlabeled)))
    assert thrice.n == 300


def test_without_truths_or_predictions_there_is_no_estimate() -> None:
    assert ppi_mean([], [], [1.0], n_failed=2) == Metric(value=None, low=None, high=None, n=0, n_failed=2)
    assert ppi_mean([1.0], [1.0], []) == Metric(value=None, low=None, high=None, n=1)
    assert ppi_mean([1.0], [2.0], [1.0, 4.0], n_failed=1) == Metric(value=1.5, low=None, high=None, n=1, n_failed=1)
    with pytest.raises(ValueError, match="predictions: 1 of them for 2 truths"):
        ppi_mean([1.0, 2.0], [1.0], [1.0])
