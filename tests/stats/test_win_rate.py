"""Win rates compared with values computed by hand and with scikit-learn."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trimtab.stats import bounded_mean, length_controlled_win_rate, win_rate
from trimtab.types import Metric, Outcome

WINS: list[Outcome] = [*("win",) * 60, *("tie",) * 10, *("loss",) * 30]


def bounds(metric: Metric) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


def width(metric: Metric) -> float:
    low, high = bounds(metric)
    return high - low


def test_a_tie_counts_as_half_a_win_and_failures_are_ignored() -> None:
    metric = win_rate([*WINS, "failed", "failed"])
    assert (metric.value, metric.n, metric.n_failed) == (0.65, 100, 2)
    # Variance of one row: 0.6 · 0.35² + 0.1 · 0.15² + 0.3 · 0.65² = 0.2025; standard error √(0.2025 / 99) = 0.0452.
    assert bounds(metric) == pytest.approx((0.65 - 1.984 * 0.0452, 0.65 + 1.984 * 0.0452), abs=0.007)


def test_the_win_rate_is_undefined_without_comparisons() -> None:
    assert win_rate([]) == Metric(value=None, low=None, high=None, n=0)
    assert win_rate(["failed"]) == Metric(value=None, low=None, high=None, n=0, n_failed=1)
    assert win_rate(["win"]) == Metric(value=1.0, low=None, high=None, n=1)


def test_ten_wins_out_of_ten_have_a_lower_bound_below_one() -> None:
    # Wilson's lower bound for ten rows with Student's t for 9 degrees of freedom, 2.2622: 10 / (10 + 5.1174).
    assert bounds(win_rate(["win"] * 10)) == pytest.approx((0.66149, 1.0), abs=1e-4)
    assert bounds(win_rate(["loss"] * 10)) == pytest.approx((0.0, 0.33851), abs=1e-4)


def test_ties_only_give_one_half_with_an_interval_that_shrinks_with_their_number() -> None:
    few, many = win_rate(["tie"] * 20), win_rate(["tie"] * 200)
    assert few.value == many.value == 0.5
    assert width(few) > 5 * width(many) > 0
    assert width(win_rate([*("tie",) * 199, "win"])) < width(many) < width(win_rate([*("tie",) * 190, *("win",) * 10]))


def test_comparisons_of_one_prompt_are_not_independent() -> None:
    outcomes: list[Outcome] = [outcome for outcome in WINS for _ in range(3)]
    clusters = [prompt for prompt in range(100) for _ in range(3)]
    assert bounds(win_rate(outcomes, clusters=clusters)) == pytest.approx(bounds(win_rate(WINS)))
    assert width(win_rate(outcomes)) < 0.62 * width(win_rate(WINS))


def test_an_unknown_outcome_is_reported_with_its_index() -> None:
    with pytest.raises(ValueError, match=r"outcomes\[1\] must be win, tie, loss or failed, got 'draw'"):
        win_rate(["win", "draw"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="clusters: got 1 for 2 outcomes"):
        win_rate(["win", "failed"], clusters=["x"])
    with pytest.raises(ValueError, match=r"values must be in \[0, 1\], got 0.0 to 2.0"):
        bounded_mean([0.0, 2.0])


def simulate(n: int, quality: float, length_bias: float, seed: int = 1) -> tuple[list[Outcome], list[float]]:
    """Wins with probability sigmoid(quality + length_bias · tanh(standardized difference)); longer by 50 on average."""
    rng = random.Random(seed)
    lengths = [rng.gauss(50, 100) for _ in range(n)]
    std = float(np.std(lengths))
    logits = [quality + length_bias * math.tanh(length / std) for length in lengths]
    return ["win" if rng.random() < 1 / (1 + math.exp(-logit)) else "loss" for logit in logits], lengths


def test_wins_that_length_buys_do_not_count() -> None:
    outcomes, lengths = simulate(4000, quality=0.0, length_bias=2.0)
    assert (win_rate(outcomes).value or 0) > 0.6
    low, high = bounds(length_controlled_win_rate(outcomes, lengths))
    assert low < 0.5 < high
    assert high - low < 0.05


def test_the_controlled_rate_is_the_intercept_that_scikit_learn_fits() -> None:
    outcomes, lengths = simulate(500, quality=0.7, length_bias=1.0)
    x = np.tanh(np.array(lengths) / np.std(lengths))
    # a tie is half a win and half a loss, so the two artificial ties are four rows of weight 1/2
    rows = np.concatenate([x, [-1, -1, 1, 1]])[:, None]
    won = [*(outcome == "win" for outcome in outcomes), True, False, True, False]
    weights = [1.0] * 500 + [0.5] * 4
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(rows, won, sample_weight=weights)
    expected = 1 / (1 + math.exp(-fit.intercept_[0]))
    assert length_controlled_win_rate(outcomes, lengths).value == pytest.approx(expected, abs=1e-6)


def test_responses_of_equal_length_have_the_plain_win_rate_apart_from_two_ties() -> None:
    metric = length_controlled_win_rate(WINS, [0.0] * 100)
    assert metric.value == pytest.approx((65 + 1) / 102)
    assert bounds(metric) == pytest.approx(bounds(win_rate(WINS)), abs=0.01)


def test_the_controlled_rate_stays_finite_if_all_or_all_longer_responses_win() -> None:
    low, high = bounds(length_controlled_win_rate(["win"] * 30, [float(i) for i in range(30)]))
    assert 0.5 < low < high < 1
    split: list[Outcome] = ["win" if length > 0 else "loss" for length in range(-10, 11) if length]
    metric = length_controlled_win_rate(split, [float(length) for length in range(-10, 11) if length])
    assert metric.value == pytest.approx(0.5)


def test_ten_ties_have_an_interval_as_wide_as_that_of_the_plain_win_rate() -> None:
    ties: list[Outcome] = ["tie"] * 10
    for lengths in ([0.0] * 10, [float(length) for length in range(10)]):
        metric = length_controlled_win_rate(ties, lengths)
        assert metric.value == pytest.approx(0.5)
        # ± 2.2622 · 0.392 on the logit scale
        assert bounds(metric) == pytest.approx((0.2918, 0.7082), abs=1e-4)
        assert bounds(metric) == pytest.approx(bounds(win_rate(ties)), abs=0.01)


def test_the_unit_of_length_does_not_matter_and_failures_are_ignored() -> None:
    outcomes, lengths = simulate(200, quality=0.3, length_bias=1.0)
    metric = length_controlled_win_rate([*outcomes, "failed"], [*(10 * length for length in lengths), 1e9])
    plain = length_controlled_win_rate(outcomes, lengths)
    assert (metric.n, metric.n_failed) == (200, 1)
    assert bounds(metric) == pytest.approx(bounds(plain))


def test_the_controlled_rate_is_undefined_if_length_and_quality_cannot_be_separated() -> None:
    assert length_controlled_win_rate(WINS, [7.0] * 100) == Metric(value=None, low=None, high=None, n=100)
    assert length_controlled_win_rate([], []) == Metric(value=None, low=None, high=None, n=0)
    assert length_controlled_win_rate(["win", "loss"], [1.0, 2.0], clusters=["x", "x"]).value is None
    with pytest.raises(ValueError, match="length_differences: got 1 for 100 outcomes"):
        length_controlled_win_rate(WINS, [1.0])


def test_repeated_comparisons_do_not_narrow_the_controlled_rate() -> None:
    outcomes, lengths = simulate(150, quality=0.3, length_bias=1.0)
    repeated = [outcome for outcome in outcomes for _ in range(3)]
    metric = length_controlled_win_rate(
        repeated, [length for length in lengths for _ in range(3)], clusters=[i // 3 for i in range(450)]
    )
    assert width(metric) == pytest.approx(width(length_controlled_win_rate(outcomes, lengths)), rel=0.02)
