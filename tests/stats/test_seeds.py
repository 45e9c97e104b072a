import math
import random

import numpy as np
import pytest
from scipy import stats

from trimtab.stats import mean, mean_over_seeds_and_rows, summarize_seeds
from trimtab.types import Metric

FIGURES = [4.81, 4.67, 5.02, 4.55, 4.90]


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    return metric.high - metric.low


def runs(seeds: int, rows: int, between: float, within: float, draw: int = 1) -> list[dict[str, float]]:
    rng = random.Random(draw)
    hard = [rng.gauss(0, 1) for _ in range(rows)]
    return [
        {str(i): moved + each + rng.gauss(0, within) for i, each in enumerate(hard)}
        for moved in (rng.gauss(0, between) for _ in range(seeds))
    ]


def test_five_seeds_have_the_t_interval_of_scipy_and_the_chi_square_interval_of_their_spread() -> None:
    found = summarize_seeds(FIGURES, n_failed=1)
    wanted = stats.t.interval(0.95, 4, np.mean(FIGURES), stats.sem(FIGURES))
    assert (found.mean.low, found.mean.high) == pytest.approx(wanted)
    assert (found.mean.n, found.mean.n_failed) == (5, 1)
    deviation = float(np.std(FIGURES, ddof=1))
    bounds = [deviation * math.sqrt(4 / stats.chi2.ppf(tail, 4)) for tail in (0.975, 0.025)]
    assert found.std.value == pytest.approx(deviation)
    assert (found.std.low, found.std.high) == pytest.approx(tuple(bounds))


def test_one_seed_has_a_mean_without_an_interval_and_none_has_nothing() -> None:
    one = summarize_seeds([3.0])
    assert one.mean == Metric(value=3.0, low=None, high=None, n=1)
    assert one.std == Metric(value=None, low=None, high=None, n=1)
    assert summarize_seeds([]).mean.value is None
    assert mean_over_seeds_and_rows([{"x": 1.0, "y": 3.0}]) == Metric(value=2.0, low=None, high=None, n=2)
    assert mean_over_seeds_and_rows([]) == Metric(value=None, low=None, high=None, n=0)
    assert mean_over_seeds_and_rows([{"x": 1.0}, {"y": 1.0}]) == Metric(
        value=None, low=None, high=None, n=0, n_failed=2
    )


def test_two_seeds_over_two_rows_are_worked_by_hand() -> None:
    # Seeds' means 2 and 4: variance 2 / 2 = 1. Rows' means 2 and 4 the same. Nothing is particular. √2, and Satterthwaite's
    # degrees are (1 + 1)² / (1 + 1) = 2 with t = 4.3027.
    found = mean_over_seeds_and_rows([{"x": 1.0, "y": 3.0}, {"x": 3.0, "y": 5.0}])
    assert found.value == 3.0
    assert width(found) == pytest.approx(2 * 4.302653 * math.sqrt(2))


def test_seeds_that_do_not_differ_leave_the_interval_of_the_rows() -> None:
    same = runs(1, 200, 0.0, 0.5) * 4
    assert width(mean_over_seeds_and_rows(same)) == pytest.approx(width(mean(list(same[0].values()))), rel=0.03)


def test_seeds_that_differ_much_leave_the_interval_of_their_means() -> None:
    far = runs(5, 400, between=50.0, within=0.1)
    alone = summarize_seeds([sum(run.values()) / 400 for run in far]).mean
    assert width(mean_over_seeds_and_rows(far)) == pytest.approx(width(alone), rel=0.01)


def test_rows_of_one_prompt_are_one_draw_and_rows_that_a_run_lacks_are_counted() -> None:
    table = runs(3, 50, 0.1, 0.5)
    thrice = [{f"{key}.{time}": value for key, value in run.items() for time in range(3)} for run in table]
    clusters = {key: key.partition(".")[0] for key in thrice[0]}
    thrice[0]["only here"] = 9.0
    found = mean_over_seeds_and_rows(thrice, clusters=clusters)
    assert width(found) == pytest.approx(width(mean_over_seeds_and_rows(table)))
    assert (found.n, found.n_failed) == (150, 1)


def test_about_95_percent_of_intervals_hold_the_truth_when_seeds_and_rows_are_drawn_anew() -> None:
    held = 0
    for draw in range(400):
        found = mean_over_seeds_and_rows(runs(5, 60, between=0.15, within=0.5, draw=draw))
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / 400 <= 0.985
