"""Metrics compared with values computed by hand, tables and scipy."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from trimtab.stats import (
    agreement_rate,
    cohen_kappa,
    expected_calibration_error,
    mean,
    paired_difference,
    pearson,
    pearson_difference,
    performance_gap_recovered,
    proportion,
)
from trimtab.types import Choice, Metric

VALUES = [2.0, 4.0, 4.0, 6.0, 9.0, 11.0]
# 100 pairs: both a 45, labels a and human b 15, labels b and human a 25, both b 15.
CELLS: tuple[tuple[Choice, Choice, int], ...] = (("a", "a", 45), ("a", "b", 15), ("b", "a", 25), ("b", "b", 15))


def by_id(values: list[float]) -> dict[str, float]:
    return {f"row{index:03}": value for index, value in enumerate(values)}


def labels_and_human() -> tuple[dict[str, Choice | None], dict[str, Choice | None]]:
    rows = [(candidate, baseline) for candidate, baseline, count in CELLS for _ in range(count)]
    labels: dict[str, Choice | None] = {str(i): candidate for i, (candidate, _) in enumerate(rows)}
    human: dict[str, Choice | None] = {str(i): baseline for i, (_, baseline) in enumerate(rows)}
    return labels, human


def bounds(metric: Metric) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


def test_wilson_interval_of_eight_in_ten() -> None:
    metric = proportion(8, 10, n_failed=3)
    assert (metric.value, metric.n, metric.n_failed) == (0.8, 10, 3)
    assert bounds(metric) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_wilson_interval_has_positive_width_for_none_or_all_successes() -> None:
    # With p = 0 the upper bound is z² / (n + z²) = 3.8415 / 13.8415.
    assert bounds(proportion(0, 10)) == pytest.approx((0.0, 0.2775328), abs=1e-6)
    assert bounds(proportion(10, 10)) == pytest.approx((0.7224672, 1.0), abs=1e-6)
    assert proportion(10, 10).high == 1.0


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2)])
def test_a_count_outside_its_total_is_rejected(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"successes must be in \[0, n\]"):
        proportion(successes, n)


def test_empty_input_gives_no_value_and_keeps_the_failures() -> None:
    empty = Metric(value=None, low=None, high=None, n=0, n_failed=4)
    assert mean([], n_failed=4) == empty
    assert proportion(0, 0, n_failed=4) == empty
    assert pearson([], [], n_failed=4) == empty
    assert paired_difference({"x": 1.0, "y": 2.0}, {"v": 1.0, "w": 1.0}) == empty
    assert performance_gap_recovered({"x": 1.0, "y": 2.0}, {"v": 1.0}, {"w": 1.0}) == empty
    assert agreement_rate({}, {"w": "a", "x": "a", "y": "b", "z": "b"}) == empty
    assert cohen_kappa({}, {"w": "a", "x": "a", "y": "b", "z": "b"}) == empty
    assert expected_calibration_error([], []) == Metric(value=None, low=None, high=None, n=0)


def test_one_row_has_a_mean_but_no_interval() -> None:
    assert mean([3.0]) == Metric(value=3.0, low=None, high=None, n=1)
    assert mean([3.0, 5.0], clusters=["same", "same"]) == Metric(value=4.0, low=None, high=None, n=2)


def test_two_rows_have_students_interval_with_one_degree_of_freedom() -> None:
    # The standard error of {0, 1} is 1/2, and t is tan(0.95 · 90°) = 12.706.
    assert bounds(mean([0.0, 1.0])) == pytest.approx((0.5 - 6.353, 0.5 + 6.353), abs=1e-3)


def test_the_bootstrap_interval_has_the_width_implied_by_the_standard_error() -> None:
    rng = random.Random(3)
    values = [rng.gauss(10, 2) for _ in range(400)]
    center = sum(values) / 400
    error = math.sqrt(sum((value - center) ** 2 for value in values) / 400 / 400)
    low, high = bounds(mean(values))
    assert (low, high) == pytest.approx((center - 1.96 * error, center + 1.96 * error), abs=0.015)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    assert mean(VALUES * 5, seed=1) == mean(VALUES * 5, seed=1)
    assert bounds(mean([math.sqrt(i) for i in range(50)], seed=1)) != bounds(
        mean([math.sqrt(i) for i in range(50)], seed=2)
    )


def test_repeated_rows_of_a_prompt_do_not_narrow_the_interval() -> None:
    single = mean(VALUES)
    repeated = mean([value for value in VALUES for _ in range(10)], clusters=[i for i in range(6) for _ in range(10)])
    ignored = mean([value for value in VALUES for _ in range(10)])
    assert bounds(repeated) == pytest.approx(bounds(single))
    assert repeated.n == 60
    assert bounds(ignored)[1] - bounds(ignored)[0] < 0.5 * (bounds(repeated)[1] - bounds(repeated)[0])


def test_a_cluster_is_weighted_by_its_number_of_rows() -> None:
    assert mean([0.0, 3.0, 3.0], clusters=["x", "y", "y"]).value == 2.0


def test_values_that_are_not_finite_are_reported_with_their_index() -> None:
    with pytest.raises(ValueError, match=r"values\[1\] must be a finite number, got nan"):
        mean([1.0, float("nan")])
    with pytest.raises(ValueError, match="clusters: got 1 for 2 values"):
        mean([1.0, 2.0], clusters=["x"])


def test_a_paired_difference_joins_by_id_and_counts_the_ids_of_one_side() -> None:
    metric = paired_difference({"x": 3.0, "y": 5.0, "candidate only": 9.0}, {"y": 1.0, "x": 1.0})
    assert (metric.value, metric.n, metric.n_failed) == (3.0, 2, 1)
    assert bounds(metric) == pytest.approx((3 - 12.706, 3 + 12.706), abs=1e-3)


def test_a_constant_paired_gain_has_no_variance() -> None:
    baseline = by_id(VALUES)
    assert bounds(paired_difference({key: value + 0.5 for key, value in baseline.items()}, baseline)) == (0.5, 0.5)


def test_the_order_of_ids_does_not_matter() -> None:
    candidate, baseline = by_id([1.0, 4.0, 2.0, 8.0, 5.0, 7.0]), by_id(VALUES)
    assert paired_difference(dict(reversed(candidate.items())), baseline) == paired_difference(candidate, baseline)


def test_a_paired_difference_resamples_clusters() -> None:
    values = [float(index % 7) for index in range(20)]
    doubled = by_id([value for value in values for _ in range(2)])
    clusters = {key: index // 2 for index, key in enumerate(doubled)}
    once, twice = (
        paired_difference(candidate, dict.fromkeys(candidate, 0.0), clusters=groups)
        for candidate, groups in ((by_id(values), None), (doubled, clusters))
    )
    assert bounds(twice) == pytest.approx(bounds(once))


def test_pgr_is_the_fraction_of_the_gap_that_the_student_closes() -> None:
    # means 1, 1.75 and 2: three quarters, the same in every row and so in every resample
    weak = by_id([0.0, 1.0, 2.0])
    student = {key: value + 0.75 for key, value in weak.items()}
    ceiling = {key: value + 1.0 for key, value in weak.items()}
    assert performance_gap_recovered(weak, student, ceiling) == Metric(value=0.75, low=0.75, high=0.75, n=3)


def test_pgr_has_an_interval_if_the_rows_differ() -> None:
    rng = random.Random(5)
    weak = by_id([rng.gauss(0, 1) for _ in range(60)])
    student = {key: value + rng.gauss(0.5, 0.2) for key, value in weak.items()}
    ceiling = {key: value + rng.gauss(1, 0.2) for key, value in weak.items()}
    metric = performance_gap_recovered(weak, student, ceiling)
    low, high = bounds(metric)
    assert metric.value is not None
    assert 0.4 < low < metric.value < high < 0.6


@pytest.mark.parametrize(
    ("student", "expected"),
    [(497, -1.153846), (503, -1.0), (542, 0.0), (581, 1.0)],  # SEAM's table 1, SafeRLHF: weak 54.2, ceiling 50.3
)
def test_the_ceiling_is_at_minus_one_if_human_labels_are_harmful(student: int, expected: float) -> None:
    correct = {
        name: by_id([float(row < count) for row in range(1000)]) for name, count in (("weak", 542), ("top", 503))
    }
    metric = performance_gap_recovered(
        correct["weak"], by_id([float(row < student) for row in range(1000)]), correct["top"]
    )
    assert metric.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("gaps", [[1.0, -1.0, 0.5, -0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
def test_pgr_is_undefined_if_the_gap_may_be_zero(gaps: list[float]) -> None:
    weak, student = by_id([0.0] * 4), by_id([0.3] * 4)
    assert performance_gap_recovered(weak, student, by_id(gaps)) == Metric(value=None, low=None, high=None, n=4)


def test_the_agreement_rate_ignores_pairs_labeled_by_one_side_only() -> None:
    labels: dict[str, Choice | None] = {"1": "a", "2": "b", "3": None, "4": "a", "unlabeled": "b"}
    human: dict[str, Choice | None] = {"1": "a", "2": "a", "3": "a", "4": "a", "5": "b", "unlabeled": None}
    metric = agreement_rate(labels, human)
    assert metric.value == pytest.approx(2 / 3)
    assert (metric.n, metric.n_failed) == (3, 2)


def test_kappa_corrects_agreement_for_chance() -> None:
    # Observed 0.60; expected 0.60 · 0.70 + 0.40 · 0.30 = 0.54; (0.60 − 0.54) / (1 − 0.54) = 0.1304.
    metric = cohen_kappa(*labels_and_human())
    low, high = bounds(metric)
    assert metric.value == pytest.approx(0.06 / 0.46)
    # The large-sample standard error (Fleiss, Cohen and Everitt 1969) of this table is 0.098.
    assert (low, high) == pytest.approx((0.1304 - 0.192, 0.1304 + 0.192), abs=0.02)


def test_kappa_is_one_for_perfect_agreement_and_undefined_for_a_single_category() -> None:
    same: dict[str, Choice | None] = {str(i): ("a", "b")[i % 2] for i in range(40)}
    assert cohen_kappa(same, same).value == 1.0
    only_a: dict[str, Choice | None] = {"1": "a", "2": "a"}
    assert cohen_kappa(only_a, only_a) == Metric(value=None, low=None, high=None, n=2)


def test_pearson_of_five_points_with_fishers_interval() -> None:
    # Σdxdy = 8 and Σdx² = Σdy² = 10: r = 0.8; artanh 0.8 = 1.0986, ± 1.96 / √2 = 1.3859.
    metric = pearson([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    assert metric.value == pytest.approx(0.8)
    assert bounds(metric) == pytest.approx((math.tanh(1.0986 - 1.3859), math.tanh(1.0986 + 1.3859)), abs=1e-4)


def test_pearson_is_undefined_for_a_constant_and_has_no_interval_for_three_points() -> None:
    assert pearson([1, 1, 1, 1], [1, 2, 3, 4]).value is None
    assert pearson([1, 2, 3], [1, 2, 3]) == Metric(value=1.0, low=None, high=None, n=3)
    assert bounds(pearson([1, 2, 3, 4], [8, 6, 4, 2])) == (-1.0, -1.0)
    with pytest.raises(ValueError, match="2 values of x for 1 of y"):
        pearson([1, 2], [1])


def test_the_difference_of_two_correlations_of_the_same_rows_has_a_bootstrap_interval() -> None:
    # r(x, y) = 0.8 as above, and r(x, z) = Σdxdz / 10 = -0.2
    x, y, z = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5], [2, 5, 4, 1, 3]
    difference = pearson_difference(x, y, z)
    assert (difference.low, difference.high, difference.n) == (None, None, 5)
    assert difference.value == pytest.approx(1.0)
    rng = random.Random(0)
    shared = [rng.gauss(0, 1) for _ in range(300)]
    near, far = ([value + rng.gauss(0, noise) for value in shared] for noise in (0.5, 3.0))
    difference = pearson_difference(shared, near, far)
    low, high = bounds(difference)
    expected = (pearson(shared, near).value or 0) - (pearson(shared, far).value or 0)
    assert difference.value == pytest.approx(expected) and 0.3 < low < expected < high < 0.9
    assert bounds(pearson_difference(shared, near, near)) == (0.0, 0.0)
    # a large offset loses no digits
    assert pearson_difference([value + 1e6 for value in shared], near, far).value == pytest.approx(expected, abs=1e-6)


def test_the_difference_of_two_correlations_is_undefined_for_a_constant() -> None:
    assert pearson_difference([1, 2, 3], [1, 1, 1], [1, 2, 3]).value is None
    assert pearson_difference([], [], []).value is None
    with pytest.raises(ValueError, match="2 values of x, 2 of y and 1 of z"):
        pearson_difference([1, 2], [1, 2], [1])


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    # Bin 0.9: accuracy 0.5 for confidence 0.9, two of three rows; bin 0.6: 1 for 0.6: (2 · 0.4 + 0.4) / 3.
    metric = expected_calibration_error([0.9, 0.9, 0.6], [True, False, True])
    assert metric.value == pytest.approx(0.4)
    assert (metric.low, metric.high, metric.n) == (None, None, 3)


def test_calibrated_labels_have_no_calibration_error() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]).value == 0.0
    assert expected_calibration_error([1.0, 1.0], [True, True]).value == 0.0


def test_a_confidence_outside_its_range_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"confidences must be in \[0, 1\]"):
        expected_calibration_error([1.2], [True])
    with pytest.raises(ValueError, match="2 confidences for 1 outcomes"):
        expected_calibration_error([0.5, 0.5], [True])


def test_resampling_in_groups_keeps_the_width_for_twenty_thousand_rows() -> None:
    rng = random.Random(8)
    values = [rng.gauss(1, 3) for _ in range(20_000)]
    low, high = bounds(mean(values))
    assert high - low == pytest.approx(2 * 1.96 * 3 / math.sqrt(20_000), rel=0.06)
    assert low < sum(values) / 20_000 < high


def test_the_order_of_rows_does_not_change_the_interval() -> None:
    rng = random.Random(8)
    values = [rng.gauss(1, 3) for _ in range(2500)]
    assert mean(values[::-1]) == mean(values)


@pytest.mark.parametrize("n", [4, 40, 3000])
def test_the_reversed_difference_is_exactly_negated(n: int) -> None:
    rng = np.random.default_rng(n)
    candidate = {str(index): float(value) for index, value in enumerate(rng.normal(0.02, 1, n))}
    baseline = {str(index): float(value) for index, value in enumerate(rng.exponential(1, n) - 1)}
    forward, reversed_ = paired_difference(candidate, baseline), paired_difference(baseline, candidate)
    assert forward.value is not None
    assert forward.low is not None
    assert forward.high is not None
    assert (reversed_.value, reversed_.low, reversed_.high) == (-forward.value, -forward.high, -forward.low)
