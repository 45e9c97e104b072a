"""Metrics over seeds compared with scipy, with values computed by hand, and with simulations."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from trimtab.stats import mean, mean_over_seeds_and_rows, summarize_seeds
from trimtab.types import Metric

VALUES = [4.81, 4.67, 5.02, 4.55, 4.90]


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def simulate_runs(seeds: int, rows: int, between: float, within: float, seed: int = 1) -> list[dict[str, float]]:
    rng = random.Random(seed)
    difficulty = [rng.gauss(0, 1) for _ in range(rows)]
    return [
        {str(i): shift + value + rng.gauss(0, within) for i, value in enumerate(difficulty)}
        for shift in (rng.gauss(0, between) for _ in range(seeds))
    ]


def test_five_seeds_have_the_t_interval_and_the_chi_square_interval_of_scipy() -> None:
    result = summarize_seeds(VALUES, n_failed=1)
    expected = stats.t.interval(0.95, 4, np.mean(VALUES), stats.sem(VALUES))
    assert (result.mean.low, result.mean.high) == pytest.approx(expected)
    assert (result.mean.n, result.mean.n_failed) == (5, 1)
    std = float(np.std(VALUES, ddof=1))
    bounds = [std * math.sqrt(4 / stats.chi2.ppf(tail, 4)) for tail in (0.975, 0.025)]
    assert result.std.value == pytest.approx(std)
    assert (result.std.low, result.std.high) == pytest.approx(tuple(bounds))
    assert result.variance.value == pytest.approx(float(np.var(VALUES, ddof=1)))
    assert (result.variance.low, result.variance.high) == pytest.approx(tuple(bound**2 for bound in bounds))


def test_one_seed_has_a_mean_without_an_interval() -> None:
    one = summarize_seeds([3.0])
    assert one.mean == Metric(value=3.0, low=None, high=None, n=1)
    assert one.std == Metric(value=None, low=None, high=None, n=1)
    assert summarize_seeds([]).mean.value is None
    assert mean_over_seeds_and_rows([{"x": 1.0, "y": 3.0}]) == Metric(value=2.0, low=None, high=None, n=2)
    assert mean_over_seeds_and_rows([]) == Metric(value=None, low=None, high=None, n=0)
    assert mean_over_seeds_and_rows([{"x": 1.0}, {"y": 1.0}]) == Metric(
        value=None, low=None, high=None, n=0, n_failed=2
    )


def test_two_seeds_over_two_rows_match_the_value_computed_by_hand() -> None:
    # seed means 2 and 4: variance 2 / 2 = 1; row means 2 and 4: the same; no interaction. The standard error is √2, and
    # Satterthwaite's degrees of freedom are (1 + 1)² / (1 + 1) = 2 with t = 4.3027
    result = mean_over_seeds_and_rows([{"x": 1.0, "y": 3.0}, {"x": 3.0, "y": 5.0}])
    assert result.value == 3.0
    assert width(result) == pytest.approx(2 * 4.302653 * math.sqrt(2))


def test_identical_seeds_give_the_interval_over_rows() -> None:
    same = simulate_runs(1, 200, 0.0, 0.5) * 4
    assert width(mean_over_seeds_and_rows(same)) == pytest.approx(width(mean(list(same[0].values()))), rel=0.03)


def test_very_different_seeds_give_the_interval_of_their_means() -> None:
    far = simulate_runs(5, 400, between=50.0, within=0.1)
    over_seeds = summarize_seeds([sum(run.values()) / 400 for run in far]).mean
    assert width(mean_over_seeds_and_rows(far)) == pytest.approx(width(over_seeds), rel=0.01)


def test_rows_of_one_prompt_count_once_and_missing_rows_are_counted() -> None:
    table = simulate_runs(3, 50, 0.1, 0.5)
    repeated = [{f"{key}.{copy}": value for key, value in run.items() for copy in range(3)} for run in table]
    clusters = {key: key.partition(".")[0] for key in repeated[0]}
    repeated[0]["only here"] = 9.0
    result = mean_over_seeds_and_rows(repeated, clusters=clusters)
    assert width(result) == pytest.approx(width(mean_over_seeds_and_rows(table)))
    assert (result.n, result.n_failed) == (150, 1)


def test_about_95_percent_of_intervals_cover_the_true_value_for_new_seeds_and_rows() -> None:
    covered = 0
    for seed in range(400):
        result = mean_over_seeds_and_rows(simulate_runs(5, 60, between=0.15, within=0.5, seed=seed))
        assert result.low is not None and result.high is not None
        covered += result.low <= 0 <= result.high
    assert 0.93 <= covered / 400 <= 0.985
