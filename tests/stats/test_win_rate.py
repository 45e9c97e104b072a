import math
import random

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trimtab.stats import bounded_mean, length_controlled_win_rate, win_rate
from trimtab.stats.win_rate import Outcome
from trimtab.types import Metric

WINS: list[Outcome] = [*("win",) * 60, *("tie",) * 10, *("loss",) * 30]


def bounds(metric: Metric) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


def width(metric: Metric) -> float:
    low, high = bounds(metric)
    return high - low


def test_a_tie_is_half_a_win_and_a_failure_is_nothing() -> None:
    metric = win_rate([*WINS, "failed", "failed"])
    assert (metric.value, metric.n, metric.n_failed) == (0.65, 100, 2)
    # Variance of one row: 0.6 · 0.35² + 0.1 · 0.15² + 0.3 · 0.65² = 0.2025; standard error √(0.2025 / 99) = 0.0452.
    assert bounds(metric) == pytest.approx((0.65 - 1.984 * 0.0452, 0.65 + 1.984 * 0.0452), abs=0.007)


def test_nothing_judged_gives_no_rate() -> None:
    assert win_rate([]) == Metric(value=None, low=None, high=None, n=0)
    assert win_rate(["failed"]) == Metric(value=None, low=None, high=None, n=0, n_failed=1)
    assert win_rate(["win"]) == Metric(value=1.0, low=None, high=None, n=1)


def test_ten_wins_of_ten_leave_room_for_losses() -> None:
    # Wilson's lower bound at ten rows with Student's t of 9 degrees, 2.2622: 10 / (10 + 5.1174).
    assert bounds(win_rate(["win"] * 10)) == pytest.approx((0.66149, 1.0), abs=1e-4)
    assert bounds(win_rate(["loss"] * 10)) == pytest.approx((0.0, 0.33851), abs=1e-4)


def test_nothing_but_ties_is_one_half_with_a_width_that_shrinks_with_their_number() -> None:
    some, more = win_rate(["tie"] * 20), win_rate(["tie"] * 200)
    assert some.value == more.value == 0.5
    assert width(some) > 5 * width(more) > 0
    assert width(win_rate([*("tie",) * 199, "win"])) < width(more) < width(win_rate([*("tie",) * 190, *("win",) * 10]))


def test_judgments_of_one_prompt_are_not_independent() -> None:
    outcomes: list[Outcome] = [outcome for outcome in WINS for _ in range(3)]
    clusters = [prompt for prompt in range(100) for _ in range(3)]
    assert bounds(win_rate(outcomes, clusters=clusters)) == pytest.approx(bounds(win_rate(WINS)))
    assert width(win_rate(outcomes)) < 0.62 * width(win_rate(WINS))


def test_an_outcome_of_another_name_is_refused_by_place() -> None:
    with pytest.raises(ValueError, match=r"outcomes\[1\] must be win, tie, loss or failed, got 'draw'"):
        win_rate(["win", "draw"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="clusters: 1 of them for 2 outcomes"):
        win_rate(["win", "failed"], clusters=["x"])
    with pytest.raises(ValueError, match=r"values must be in \[0, 1\], got 0.0 to 2.0"):
        bounded_mean([0.0, 2.0])


def longer_wins(n: int, merit: float, bought: float, seed: int = 1) -> tuple[list[Outcome], list[float]]:
    """Judgments won with probability sigmoid(merit + bought · tanh(standardized difference)), longer by 50 on average."""
    rng = random.Random(seed)
    lengths = [rng.gauss(50, 100) for _ in range(n)]
    spread = float(np.std(lengths))
    odds = [merit + bought * math.tanh(length / spread) for length in lengths]
    return ["win" if rng.random() < 1 / (1 + math.exp(-each)) else "loss" for each in odds], lengths


def test_wins_that_length_buys_do_not_count() -> None:
    outcomes, lengths = longer_wins(4000, merit=0.0, bought=2.0)
    assert (win_rate(outcomes).value or 0) > 0.6
    low, high = bounds(length_controlled_win_rate(outcomes, lengths))
    assert low < 0.5 < high
    assert high - low < 0.05


def test_the_controlled_rate_is_the_intercept_that_scikit_learn_fits() -> None:
    outcomes, lengths = longer_wins(500, merit=0.7, bought=1.0)
    x = np.tanh(np.array(lengths) / np.std(lengths))
    # a tie is half a win and half a loss: the two made-up ones are four rows of half a weight
    rows = np.concatenate([x, [-1, -1, 1, 1]])[:, None]
    won = [*(outcome == "win" for outcome in outcomes), True, False, True, False]
    weights = [1.0] * 500 + [0.5] * 4
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(rows, won, sample_weight=weights)
    wanted = 1 / (1 + math.exp(-fit.intercept_[0]))
    assert length_controlled_win_rate(outcomes, lengths).value == pytest.approx(wanted, abs=1e-6)


def test_answers_of_equal_length_have_the_plain_win_rate_but_for_two_ties() -> None:
    metric = length_controlled_win_rate(WINS, [0.0] * 100)
    assert metric.value == pytest.approx((65 + 1) / 102)
    assert bounds(metric) == pytest.approx(bounds(win_rate(WINS)), abs=0.01)


def test_the_controlled_rate_stays_finite_where_all_win_or_every_longer_answer_does() -> None:
    low, high = bounds(length_controlled_win_rate(["win"] * 30, [float(i) for i in range(30)]))
    assert 0.5 < low < high < 1
    split: list[Outcome] = ["win" if length > 0 else "loss" for length in range(-10, 11) if length]
    metric = length_controlled_win_rate(split, [float(length) for length in range(-10, 11) if length])
    assert metric.value == pytest.approx(0.5)


def test_the_unit_of_length_changes_nothing_and_failures_are_left_out() -> None:
    outcomes, lengths = longer_wins(200, merit=0.3, bought=1.0)
    metric = length_controlled_win_rate([*outcomes, "failed"], [*(10 * length for length in lengths), 1e9])
    plain = length_controlled_win_rate(outcomes, lengths)
    assert (metric.n, metric.n_failed) == (200, 1)
    assert bounds(metric) == pytest.approx(bounds(plain))


def test_the_controlled_rate_is_undefined_where_length_and_merit_cannot_be_told_apart() -> None:
    assert length_controlled_win_rate(WINS, [7.0] * 100) == Metric(value=None, low=None, high=None, n=100)
    assert length_controlled_win_rate([], []) == Metric(value=None, low=None, high=None, n=0)
    assert length_controlled_win_rate(["win", "loss"], [1.0, 2.0], clusters=["x", "x"]).value is None
    with pytest.raises(ValueError, match="length_differences: 1 of them for 100 outcomes"):
        length_controlled_win_rate(WINS, [1.0])


def test_a_controlled_rate_over_repeated_judgments_is_as_wide_as_over_one_each() -> None:
    outcomes, lengths = longer_wins(150, merit=0.3, bought=1.0)
    thrice = [outcome for outcome in outcomes for _ in range(3)]
    metric = length_controlled_win_rate(
        thrice, [length for length in lengths for _ in range(3)], clusters=[i // 3 for i in range(450)]
    )
    assert width(metric) == pytest.approx(width(length_controlled_win_rate(outcomes, lengths)), rel=0.02)
