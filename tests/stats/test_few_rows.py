"""Few differing rows or few prompts: no interval claims more than an exact test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, ttest_1samp

from trimtab.stats import (
    bounded_mean,
    mcnemar_test,
    mean,
    mean_over_seeds_and_rows,
    paired_difference,
    win_rate,
)
from trimtab.types import Metric, Outcome


def outcomes(wins: int, losses: int, ties: int) -> tuple[dict[str, float], dict[str, float]]:
    candidate = [1.0] * wins + [0.0] * losses + [1.0] * ties
    baseline = [0.0] * wins + [1.0] * losses + [1.0] * ties
    return {str(i): value for i, value in enumerate(candidate)}, {str(i): value for i, value in enumerate(baseline)}


def by_id(values: list[float]) -> dict[str, float]:
    return {str(index): value for index, value in enumerate(values)}


def zeros(values: list[float]) -> dict[str, float]:
    return dict.fromkeys(by_id(values), 0.0)


def bounds(metric: Metric) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize(("wins", "p_value"), [(4, 0.125), (5, 0.0625)])
def test_four_or_five_wins_without_a_loss_are_not_significant(wins: int, p_value: float, n: int) -> None:
    assert mcnemar_test(*outcomes(wins, 0, n - wins)).p_value == pytest.approx(p_value)
    low, high = bounds(paired_difference(*outcomes(wins, 0, n - wins)))
    assert low <= 0 < wins / n < high
    low, high = bounds(paired_difference(*reversed(outcomes(wins, 0, n - wins))))
    assert low < -wins / n < 0 <= high


def test_six_wins_without_a_loss_are_significant() -> None:
    assert mcnemar_test(*outcomes(6, 0, 94)).p_value == pytest.approx(2 / 64)
    assert bounds(paired_difference(*outcomes(6, 0, 94)))[0] > 0


@pytest.mark.parametrize("differing", range(1, 41))
def test_an_interval_excludes_zero_only_if_the_binomial_test_is_significant(differing: int) -> None:
    for wins in range(differing + 1):
        low, high = bounds(paired_difference(*outcomes(wins, differing - wins, 60)))
        if low > 0 or high < 0:
            assert binomtest(wins, differing).pvalue <= 0.05


def test_differing_rows_of_one_prompt_count_once() -> None:
    candidate, baseline = outcomes(12, 0, 88)
    prompts = {key: int(key) // 3 for key in candidate}
    assert mcnemar_test(candidate, baseline).p_value == pytest.approx(2 / 2**12)
    assert mcnemar_test(candidate, baseline, clusters=prompts).p_value == pytest.approx(2 / 2**4)
    assert bounds(paired_difference(candidate, baseline))[0] > 0
    assert bounds(paired_difference(candidate, baseline, clusters=prompts))[0] <= 0


@pytest.mark.parametrize("values", [[1.0, -0.5, 2.0, 1.5, 0.5, 1.0, -1.0, 2.5], [0.31, -0.2, 1.7, 0.9, 0.4, -0.6, 1.1]])
def test_the_exact_test_enumerates_all_swaps_of_the_arms(values: list[float]) -> None:
    sign_vectors = itertools.product((1, -1), repeat=len(values))
    totals = [sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in sign_vectors]
    expected = np.mean(np.abs(totals) >= abs(sum(values)) - 1e-9)
    assert mcnemar_test(by_id(values), zeros(values)).p_value == pytest.approx(expected)
    scipy_result = permutation_test((np.array(values),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert scipy_result.pvalue == pytest.approx(expected)


def test_swaps_are_sampled_if_there_are_too_many_to_enumerate() -> None:
    values = np.random.default_rng(4).normal(0.35, 1, 40).tolist()
    scipy_result = permutation_test(
        (np.array(values),), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    result = mcnemar_test(by_id(values), zeros(values))
    assert result.p_value == pytest.approx(scipy_result.pvalue, abs=0.008)
    assert result == mcnemar_test(by_id(values), zeros(values))


def test_a_reward_gain_on_few_responses_is_not_significant() -> None:
    gains = [0.11, 0.32, 0.27, 0.16] + [0.0] * 96
    assert bounds(paired_difference(by_id(gains), zeros(gains)))[0] == 0


def test_the_interval_has_positive_width_if_no_row_differs() -> None:
    # Tango's bounds are then ± z² / (n + z²), with Student's t as z
    candidate, baseline = outcomes(0, 0, 50)
    low, high = bounds(paired_difference(candidate, baseline))
    t2 = 2.0096**2
    assert (low, high) == pytest.approx((-t2 / (50 + t2), t2 / (50 + t2)), abs=1e-4)


def test_the_score_test_is_borderline_at_the_bounds_of_the_score_interval() -> None:
    # Tango's statistic at both bounds, with the restricted likelihood maximized by grid search
    wins, losses, n = 21, 5, 80
    for bound in bounds(paired_difference(*outcomes(wins, losses, n - wins - losses))):
        grid = np.linspace(max(0.0, -bound), (1 - bound) / 2, 400_001)[1:-1]
        likelihood = wins * np.log(grid + bound) + losses * np.log(grid)
        likelihood += (n - wins - losses) * np.log1p(-2 * grid - bound)
        c = grid[np.argmax(likelihood)]
        statistic = ((wins - losses) / n - bound) / math.sqrt((2 * c + bound - bound**2) / n)
        # the effective sample size of n rows is n (n - 1) / n, and Student's t with 79 degrees of freedom is used as z
        assert abs(statistic) * math.sqrt((n - 1) / n) == pytest.approx(1.9905, abs=2e-3)


@pytest.mark.parametrize("values", [[1.0, 3.0], [1.0, 2.0, 4.0], [1.0, 5.0, 2.0, 2.5, 3.0]])
def test_few_rows_use_students_t_interval(values: list[float]) -> None:
    scipy_result = ttest_1samp(values, 0).confidence_interval()
    assert bounds(mean(values)) == pytest.approx((scipy_result.low, scipy_result.high))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_up_to_five_prompts_are_never_significant(n: int) -> None:
    gains = [1.0 + index / 100 for index in range(n)]
    assert bounds(paired_difference(by_id(gains), zeros(gains)))[0] <= 0
    wins = [1.0] * n
    assert bounds(paired_difference(by_id(wins), zeros(wins)))[0] <= 0


def mostly_ties(n_decided: int, outcome: Outcome) -> list[Outcome]:
    return [outcome if index < n_decided else "tie" for index in range(100)]


def test_four_wins_among_ties_are_not_significant() -> None:
    assert bounds(bounded_mean([1.0] * 4 + [0.5] * 96))[0] > 0.5
    assert bounds(win_rate(mostly_ties(4, "win")))[0] == 0.5
    assert bounds(win_rate(mostly_ties(4, "loss")))[1] == 0.5
    assert bounds(win_rate(mostly_ties(6, "win")))[0] > 0.5


def test_differences_of_several_seeds_on_four_rows_are_not_significant() -> None:
    seeds = [by_id([1.0] * 4 + [0.0] * 96) for _ in range(3)]
    assert bounds(mean_over_seeds_and_rows(seeds))[0] > 0
    assert bounds(mean_over_seeds_and_rows(seeds, differences=True))[0] == 0


def test_a_bounded_mean_of_zeros_has_positive_width_but_a_mean_does_not() -> None:
    assert bounds(bounded_mean([0.0] * 200)) == pytest.approx((0.0, 0.0191), abs=1e-4)
    assert bounds(mean([0.0] * 200)) == (0.0, 0.0)
