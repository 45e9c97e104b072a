"""Label worth: values computed by hand, open ends, and the coverage of the interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from trimtab.stats import LabelWorth, estimate_label_worth
from trimtab.stats.clusters import FloatArray, sum_by_cluster
from trimtab.stats.label_worth import (
    CurvePosition,
    compute_half_widths,
    compute_interpolation_weights,
    compute_label_worth,
    list_tested_counts,
    select_interval,
)

N_SIMULATIONS = 2000
ROWS = [f"{index:03}" for index in range(100)]


def constant(value: float) -> dict[str, float]:
    return dict.fromkeys(ROWS, value)


def half_correct(share: float = 0.5) -> dict[str, float]:
    return {row: float(index < share * len(ROWS)) for index, row in enumerate(ROWS)}


def test_a_worth_between_two_points_matches_the_value_computed_by_hand() -> None:
    # The curve is 0 at 100 labels and 1 at 400, so f(n) is log(n / 100) / log(4), or 2 - 20 / √n for the exponent 1/2. The arm
    # is 0.5 with the variance 100/99 · 0.25 / 100 = 0.0025253; with t(99) = 1.98422 the half width is 0.099712. f is within
    # 0.5 ± 0.099712 from 100 · 4^0.400288 = 174.2 to 100 · 4^0.599712 = 229.6, or from (20 / 1.599712)² = 156.3 to
    # (20 / 1.400288)² = 204.0.
    worth = estimate_label_worth({400: [constant(1.0)], 100: [constant(0.0)]}, [half_correct()])
    assert worth.value == pytest.approx(200)
    assert replace(worth, value=200.0) == LabelWorth(
        position="inside",
        value=200.0,
        low=157,
        high=229,
        smallest=100,
        largest=400,
        n=100,
        n_failed=0,
        n_seeds=1,
    )


def test_rows_that_both_sides_share_cancel() -> None:
    curve = {100: [half_correct(0.4)], 400: [half_correct(0.6)]}
    worth = estimate_label_worth(curve, [half_correct(0.6)])
    assert (worth.value, worth.high) == (400, None)  # 400 itself is not rejected, so more is possible
    # the difference to f(n) is (1 - s)(0.2 ± 0.0796) in every point s, which is rejected everywhere but at the end
    assert worth.low == 400


def test_the_variance_between_seeds_is_pooled_over_arms_as_computed_by_hand() -> None:
    # Means of two seeds: arm 0.5, 0.7; curve 0.1, 0.1 and 1, 1. Without the effects of arms and seeds, ∓0.0667 and ±0.0333
    # twice are left: a sum of squares of 0.013333 over 2 degrees of freedom. In the middle of the curve the squared contrast is
    # 1 + 1/4 + 1/4, so the variance is 0.0066667 · 1.5 / 2 = 0.005, and with t(2) = 4.302653 the half width is 0.304244.
    means = np.array([[0.5, 0.7], [0.1, 0.1], [1.0, 1.0]])
    sums = sum_by_cluster(np.tile(means.ravel(), (50, 1)), None)
    assert compute_half_widths(np.array([[1.0, -0.5, -0.5]]), sums, means) == pytest.approx([0.304244], abs=1e-6)
    shifted = means + np.array([0.3, -0.1])
    sums = sum_by_cluster(np.tile(shifted.ravel(), (50, 1)), None)
    assert compute_half_widths(np.array([[1.0, -0.5, -0.5]]), sums, shifted) == pytest.approx([0.304244], abs=1e-6)


def test_identical_seeds_are_as_certain_as_one() -> None:
    curve, arm = {100: [constant(0.0)], 400: [constant(1.0)]}, [half_correct()]
    one = estimate_label_worth(curve, arm)
    twice = estimate_label_worth({count: seeds * 2 for count, seeds in curve.items()}, arm * 2)
    assert (twice.low, twice.high, twice.n_seeds) == (one.low, one.high, 2)


@pytest.mark.parametrize(("share", "position", "low", "high"), [(0.9, "above", 400, None), (0.1, "below", None, 100)])
def test_outside_the_curve_there_is_a_bound_and_no_value(
    share: float, position: str, low: float | None, high: float | None
) -> None:
    curve = {100: [half_correct(0.4)], 400: [half_correct(0.6)]}
    worth = estimate_label_worth(curve, [half_correct(share)])
    assert (worth.position, worth.value, worth.low, worth.high) == (position, None, low, high)


def test_a_flat_curve_says_nothing() -> None:
    rng = np.random.default_rng(0)
    seeds = [dict(zip(ROWS, (rng.random(100) < 0.6).astype(float).tolist(), strict=True)) for _ in range(3)]
    worth = estimate_label_worth({100: [seeds[0]], 400: [seeds[1]]}, [seeds[2]])
    assert (worth.low, worth.high) == (None, None)


def test_rows_of_one_cluster_count_once_and_missing_rows_are_counted() -> None:
    curve, arm = {100: constant(0.0), 400: constant(1.0)}, half_correct()
    twice = [
        {f"{row}.{copy}": value for row, value in each.items() for copy in (0, 1)} for each in (arm, *curve.values())
    ]
    clusters = {row: row.partition(".")[0] for row in twice[0]}
    repeated = estimate_label_worth({100: [twice[1]], 400: [twice[2]]}, [twice[0]], clusters=clusters)
    assert (repeated.low, repeated.high, repeated.n) == (157, 229, 200)
    missing = {row: value for row, value in arm.items() if row != ROWS[0]}
    worth = estimate_label_worth({count: [values] for count, values in curve.items()}, [missing])
    assert (worth.n, worth.n_failed) == (99, 1)
    one_cluster = estimate_label_worth(
        {100: [twice[1]], 400: [twice[2]]}, [twice[0]], clusters=dict.fromkeys(twice[0], 0)
    )
    assert (one_cluster.low, one_cluster.high) == (None, None)


def test_the_curve_is_interpolated_in_the_logarithm_or_in_a_power() -> None:
    tested = np.array([100, 200, 400, 800])
    assert compute_interpolation_weights(tested, [100, 400, 800]) == pytest.approx(
        np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    )
    # 1 / √n is 1/10 at 100 and 1/20 at 400, so the share of the second point at 1600/9 is (0.1 - 0.075) / 0.05
    assert compute_interpolation_weights(np.array([1600 / 9]), [100, 400], 0.5) == pytest.approx(np.array([[0.5, 0.5]]))
    counts = list_tested_counts([500, 3900])
    assert (counts[0], counts[-1], bool((np.diff(counts) > 0).all())) == (500, 3900, True)
    assert 777 in list_tested_counts([500, 777, 3900])


def test_the_value_is_read_off_the_increasing_curve() -> None:
    curve = {100: [constant(0.6)], 200: [constant(0.7)], 400: [constant(0.62)], 800: [constant(0.71)]}
    worth = estimate_label_worth(curve, [constant(0.63)])
    assert worth.value == pytest.approx(100 * 2**0.5)  # halfway from 0.60 to 0.66
    assert (worth.low, worth.high) == pytest.approx((141, 141), abs=1)  # rows that do not vary leave no doubt


@pytest.mark.parametrize(
    ("accepted", "position", "value", "expected"),
    [
        ([0, 1, 0, 1, 1, 0], "inside", 4.2, (4, 5)),  # not from the other side of the gap
        ([1, 1, 0, 1, 1, 0], "inside", 1.5, (None, 2)),
        ([0, 0, 0, 1, 1, 1], "inside", 4.5, (4, None)),
        ([0, 1, 0, 0, 1, 1], "above", None, (5, None)),
        ([0, 1, 0, 0, 0, 0], "above", None, (6, None)),
        ([1, 0, 0, 0, 0, 1], "below", None, (None, 1)),
        ([0, 0, 0, 0, 0, 0], "inside", 3.0, (3, 3)),
    ],
)
def test_the_interval_is_the_part_around_the_value(
    accepted: list[int], position: CurvePosition, value: float | None, expected: tuple[float | None, float | None]
) -> None:
    assert select_interval(np.arange(1, 7), np.array(accepted, dtype=bool), position, value) == expected


def test_invalid_curves_are_rejected() -> None:
    arm = [constant(0.5)]
    with pytest.raises(ValueError, match=r"curve of \[100\] labels, expected two or more"):
        estimate_label_worth({100: arm}, arm)
    with pytest.raises(ValueError, match=r"\[1, 2, 1\] seeds, expected the same number"):
        estimate_label_worth({100: arm * 2, 200: arm}, arm)
    with pytest.raises(ValueError, match="no row has a value"):
        estimate_label_worth({100: [{"x": 1.0}], 200: arm}, arm)
    with pytest.raises(ValueError, match=r"values\[1\] must be a finite number"):
        estimate_label_worth({100: [{"a": 1.0, "b": math.nan}], 200: [{"a": 1.0, "b": 1.0}]}, [{"a": 1.0, "b": 1.0}])


def test_the_interval_covers_a_known_worth_over_rows_and_seeds() -> None:
    # accuracies on a line in log n, whose trainings vary by 0.01 between seeds; `docs/results/label-worth.md` has more
    rng, counts, worth = np.random.default_rng(1), [500, 1000, 2000, 4000], 1400
    accuracies = 0.56 + 0.035 * np.log2(np.array([worth, *counts]) / 250)
    hits = 0
    for _ in range(N_SIMULATIONS):
        result = compute_label_worth(_simulate_outcomes(rng, accuracies, rows=300, seeds=2, seed_std=0.01), counts)
        hits += (result.low or 0) <= worth <= (result.high or math.inf)
    assert hits / N_SIMULATIONS == pytest.approx(0.95, abs=0.015)


def _simulate_outcomes(
    rng: np.random.Generator, accuracies: FloatArray, *, rows: int, seeds: int, seed_std: float
) -> FloatArray:
    """Outcomes (rows, arms, seeds). The difficulty of a row has 60% of the variance, its effect on one arm 25%."""
    z = norm.ppf(accuracies)
    spread = (seed_std / norm.pdf(z))[:, None]
    trainings = spread * rng.normal(size=(len(accuracies), seeds))
    noise = np.sqrt(0.6) * rng.normal(size=(rows, 1, 1))
    noise = (
        noise
        + np.sqrt(0.25) * rng.normal(size=(rows, len(z), 1))
        + np.sqrt(0.15) * rng.normal(size=(rows, len(z), seeds))
    )
    outcomes: FloatArray = (z[:, None] * np.sqrt(1 + spread**2) + trainings + noise > 0).astype(np.float64)
    return outcomes
