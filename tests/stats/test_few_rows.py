"""What is said where few rows differ, or few prompts are there: never better than an exact test allows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, ttest_1samp

from trimtab.stats import (
    Outcome,
    bounded_mean,
    mcnemar_test,
    mean,
    mean_over_seeds_and_rows,
    paired_difference,
    win_rate,
)
from trimtab.types import Metric


def sides(above: int, below: int, same: int) -> tuple[dict[str, float], dict[str, float]]:
    ours = [1.0] * above + [0.0] * below + [1.0] * same
    theirs = [0.0] * above + [1.0] * below + [1.0] * same
    return {str(i): value for i, value in enumerate(ours)}, {str(i): value for i, value in enumerate(theirs)}


def by_id(values: list[float]) -> dict[str, float]:
    return {str(place): value for place, value in enumerate(values)}


def zeros(values: list[float]) -> dict[str, float]:
    return dict.fromkeys(by_id(values), 0.0)


def bounds(metric: Metric) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize(("above", "p_value"), [(4, 0.125), (5, 0.0625)])
def test_four_or_five_rows_against_none_tell_nothing(above: int, p_value: float, n: int) -> None:
    assert mcnemar_test(*sides(above, 0, n - above)).p_value == pytest.approx(p_value)
    low, high = bounds(paired_difference(*sides(above, 0, n - above)))
    assert low <= 0 < above / n < high
    low, high = bounds(paired_difference(*reversed(sides(above, 0, n - above))))
    assert low < -above / n < 0 <= high


def test_six_rows_against_none_tell_something() -> None:
    assert mcnemar_test(*sides(6, 0, 94)).p_value == pytest.approx(2 / 64)
    assert bounds(paired_difference(*sides(6, 0, 94)))[0] > 0


@pytest.mark.parametrize("differing", range(1, 41))
def test_an_interval_leaves_out_zero_only_where_the_binomial_test_allows_it(differing: int) -> None:
    for above in range(differing + 1):
        low, high = bounds(paired_difference(*sides(above, differing - above, 60)))
        if low > 0 or high < 0:
            assert binomtest(above, differing).pvalue <= 0.05


def test_rows_of_one_prompt_that_differ_together_count_once() -> None:
    ours, theirs = sides(12, 0, 88)
    prompts = {key: int(key) // 3 for key in ours}
    assert mcnemar_test(ours, theirs).p_value == pytest.approx(2 / 2**12)
    assert mcnemar_test(ours, theirs, clusters=prompts).p_value == pytest.approx(2 / 2**4)
    assert bounds(paired_difference(ours, theirs))[0] > 0
    assert bounds(paired_difference(ours, theirs, clusters=prompts))[0] <= 0


@pytest.mark.parametrize("values", [[1.0, -0.5, 2.0, 1.5, 0.5, 1.0, -1.0, 2.5], [0.31, -0.2, 1.7, 0.9, 0.4, -0.6, 1.1]])
def test_the_exact_test_is_every_way_of_swapping_the_arms(values: list[float]) -> None:
    ways = itertools.product((1, -1), repeat=len(values))
    totals = [sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in ways]
    wanted = np.mean(np.abs(totals) >= abs(sum(values)) - 1e-9)
    assert mcnemar_test(by_id(values), zeros(values)).p_value == pytest.approx(wanted)
    scipys = permutation_test((np.array(values),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert scipys.pvalue == pytest.approx(wanted)


def test_past_what_can_be_gone_through_ways_of_swapping_are_drawn() -> None:
    values = np.random.default_rng(4).normal(0.35, 1, 40).tolist()
    scipys = permutation_test(
        (np.array(values),), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    found = mcnemar_test(by_id(values), zeros(values))
    assert found.p_value == pytest.approx(scipys.pvalue, abs=0.008)
    assert found == mcnemar_test(by_id(values), zeros(values))


def test_a_reward_that_few_answers_moved_is_not_called_better() -> None:
    moved = [0.11, 0.32, 0.27, 0.16] + [0.0] * 96
    assert bounds(paired_difference(by_id(moved), zeros(moved)))[0] == 0


def test_no_row_that_differs_leaves_a_width() -> None:
    # Tango's bounds are then ± z² / (n + z²), with Student's t for z.
    ours, theirs = sides(0, 0, 50)
    low, high = bounds(paired_difference(ours, theirs))
    t2 = 2.0096**2
    assert (low, high) == pytest.approx((-t2 / (50 + t2), t2 / (50 + t2)), abs=1e-4)


def test_the_score_interval_is_where_its_test_is_on_the_edge() -> None:
    # Tango's statistic with the restricted likelihood maximized by search, at both bounds.
    above, below, n = 21, 5, 80
    for bound in bounds(paired_difference(*sides(above, below, n - above - below))):
        grid = np.linspace(max(0.0, -bound), (1 - bound) / 2, 400_001)[1:-1]
        likelihood = above * np.log(grid + bound) + below * np.log(grid)
        likelihood += (n - above - below) * np.log1p(-2 * grid - bound)
        c = grid[np.argmax(likelihood)]
        statistic = ((above - below) / n - bound) / math.sqrt((2 * c + bound - bound**2) / n)
        # At n rows the difference is worth n (n - 1) / n of them, and Student's t of 79 degrees stands for z.
        assert abs(statistic) * math.sqrt((n - 1) / n) == pytest.approx(1.9905, abs=2e-3)


@pytest.mark.parametrize("values", [[1.0, 3.0], [1.0, 2.0, 4.0], [1.0, 5.0, 2.0, 2.5, 3.0]])
def test_few_rows_have_students_interval(values: list[float]) -> None:
    scipys = ttest_1samp(values, 0).confidence_interval()
    assert bounds(mean(values)) == pytest.approx((scipys.low, scipys.high))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_up_to_five_prompts_never_tell_which_arm_is_better(n: int) -> None:
    gains = [1.0 + place / 100 for place in range(n)]
    assert bounds(paired_difference(by_id(gains), zeros(gains)))[0] <= 0
    rights = [1.0] * n
    assert bounds(paired_difference(by_id(rights), zeros(rights)))[0] <= 0


def among_ties(decided: int, outcome: Outcome) -> list[Outcome]:
    return [outcome if place < decided else "tie" for place in range(100)]


def test_four_wins_among_ties_do_not_beat() -> None:
    assert bounds(bounded_mean([1.0] * 4 + [0.5] * 96))[0] > 0.5
    assert bounds(win_rate(among_ties(4, "win")))[0] == 0.5
    assert bounds(win_rate(among_ties(4, "loss")))[1] == 0.5
    assert bounds(win_rate(among_ties(6, "win")))[0] > 0.5


def test_leads_of_several_seeds_on_four_rows_do_not_beat() -> None:
    seeds = [by_id([1.0] * 4 + [0.0] * 96) for _ in range(3)]
    assert bounds(mean_over_seeds_and_rows(seeds))[0] > 0
    assert bounds(mean_over_seeds_and_rows(seeds, differences=True))[0] == 0


def test_a_share_of_none_keeps_a_width_and_a_mean_of_none_has_not() -> None:
    assert bounds(bounded_mean([0.0] * 200)) == pytest.approx((0.0, 0.0191), abs=1e-4)
    assert bounds(mean([0.0] * 200)) == (0.0, 0.0)
