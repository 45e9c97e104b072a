"""Prediction-powered means compared with values computed by hand."""

from __future__ import annotations

import math
import random

import pytest

from trimtab.stats import mean, ppi_mean
from trimtab.types import Metric


def sample_rows(n: int, noise: float, bias: float = 0.0, seed: int = 1) -> tuple[list[float], list[float]]:
    rng = random.Random(seed)
    labels = [rng.gauss(2, 1) for _ in range(n)]
    return labels, [label + bias + rng.gauss(0, noise) for label in labels]


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def test_the_estimate_matches_the_formula_of_the_paper() -> None:
    # mean(unlabeled) + mean(labels - predictions) = 5 + (-1 + 0 + 1 + 2) / 4; variances 5/3 / 4 and 8/3 / 4; t of 3 is 3.1824.
    metric = ppi_mean([1, 3, 5, 7], [2, 3, 4, 5], [3, 5, 5, 7], tune_weight=False)
    assert metric.value == 5.5
    half_width = 3.182446 * math.sqrt(5 / 3 / 4 + 8 / 3 / 4)
    assert (metric.low, metric.high) == pytest.approx((5.5 - half_width, 5.5 + half_width), abs=1e-5)


def test_the_tuned_weight_matches_ppi_plus_plus() -> None:
    # cov(y, f) / n = 10/3 / 4 and var(f) / n + var(f) / N = 5/3 / 4 + 8/3 / 4: 10 / 13.
    metric = ppi_mean([1, 3, 5, 7], [2, 3, 4, 5], [3, 5, 5, 7])
    assert metric.value == pytest.approx(4 + 10 / 13 * (5 - 3.5))


def test_good_predictions_narrow_the_interval_even_if_biased() -> None:
    labels, predictions = sample_rows(100, noise=0.2, bias=3.0)
    _, unlabeled = sample_rows(5000, noise=0.2, bias=3.0, seed=2)
    metric = ppi_mean(labels, predictions, unlabeled)
    assert metric.value == pytest.approx(2.0, abs=0.1)
    assert width(metric) < 0.4 * width(mean(labels))


def test_useless_predictions_are_ignored_if_tuned_and_widen_the_interval_if_not() -> None:
    labels, _ = sample_rows(200, noise=0.0)
    rng = random.Random(9)
    predictions, unlabeled = ([rng.gauss(0, 3) for _ in range(n)] for n in (200, 400))
    assert width(ppi_mean(labels, predictions, unlabeled)) < 1.03 * width(mean(labels))
    assert width(ppi_mean(labels, predictions, unlabeled, tune_weight=False)) > 2 * width(mean(labels))


def test_constant_predictions_give_the_mean_of_the_labels() -> None:
    assert ppi_mean([1, 2, 6], [4, 4, 4], [4, 4, 4, 4]).value == 3.0


def test_rows_of_one_prompt_count_once() -> None:
    labels, predictions = sample_rows(100, noise=0.5)
    _, unlabeled = sample_rows(500, noise=0.5, seed=2)
    repeated = ppi_mean(
        labels * 3,
        predictions * 3,
        unlabeled * 3,
        clusters=[i % 100 for i in range(300)],
        unlabeled_clusters=[i % 500 for i in range(1500)],
    )
    assert width(repeated) == pytest.approx(width(ppi_mean(labels, predictions, unlabeled)))
    assert repeated.n == 300


def test_the_estimate_is_undefined_without_labels_or_predictions() -> None:
    assert ppi_mean([], [], [1.0], n_failed=2) == Metric(value=None, low=None, high=None, n=0, n_failed=2)
    assert ppi_mean([1.0], [1.0], []) == Metric(value=None, low=None, high=None, n=1)
    assert ppi_mean([1.0], [2.0], [1.0, 4.0], n_failed=1) == Metric(value=1.5, low=None, high=None, n=1, n_failed=1)
    with pytest.raises(ValueError, match="predictions: got 1 for 2 labels"):
        ppi_mean([1.0, 2.0], [1.0], [1.0])
