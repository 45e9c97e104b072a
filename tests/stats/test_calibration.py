"""Calibration compared with values computed by hand and with scikit-learn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from trimtab.stats.calibration import (
    CalibrationMethod,
    PlattScaling,
    TemperatureScaling,
    brier_score,
    cross_fit_probabilities,
    equal_mass_calibration_error,
    fit_calibration_map,
    log_loss,
    reliability_curve,
)
from trimtab.types import Choice

METHODS: tuple[CalibrationMethod, ...] = ("temperature", "platt", "isotonic")
OTHER: dict[Choice, Choice] = {"a": "b", "b": "a"}
for_each_method = pytest.mark.parametrize("method", METHODS)


def simulate_labels(count: int = 400, sharpness: float = 2.0, seed: int = 1) -> tuple[list[float], list[Choice]]:
    """Overconfident probabilities: log-odds are `sharpness` times too large. In sixty-fourths, which have exact complements."""
    rng = random.Random(seed)
    p_a = [rng.randint(1, 63) / 64 for _ in range(count)]
    human: list[Choice] = []
    for p in p_a:
        odds = (p / (1 - p)) ** (1 / sharpness)
        human.append("a" if rng.random() < odds / (1 + odds) else "b")
    return p_a, human


def expand(*groups: tuple[float, int, int]) -> tuple[list[float], list[Choice]]:
    """From (probability, number of pairs, number of human labels `a`) to one entry per pair."""
    p_a = [p for p, n, _ in groups for _ in range(n)]
    human: list[Choice] = ["a" if index < n_a else "b" for _, n, n_a in groups for index in range(n)]
    return p_a, human


P_A, HUMAN = simulate_labels()
Y = np.array([choice == "a" for choice in HUMAN], dtype=float)


def test_temperature_matches_confidence_to_accuracy() -> None:
    # 15 of 20 are correct at 0.9, and Platt's target for 20 correct ones is 21 / 22: (15 * 21 + 5) / (20 * 22) = 8 / 11
    fitted = fit_calibration_map("temperature", *expand((0.9, 10, 8), (0.1, 10, 3)))
    assert fitted([0.9, 0.1, 0.5]) == pytest.approx([8 / 11, 3 / 11, 0.5])


def test_temperature_recovers_the_simulated_value() -> None:
    fitted = fit_calibration_map("temperature", *simulate_labels(20_000, sharpness=2.5))
    assert isinstance(fitted, TemperatureScaling)
    assert fitted.temperature == pytest.approx(2.5, rel=0.05)


def test_labels_no_better_than_chance_map_to_one_half() -> None:
    fitted = fit_calibration_map("temperature", *expand((0.9, 10, 3), (0.1, 10, 7)))
    assert fitted == TemperatureScaling(temperature=math.inf)
    assert fitted([0.9, 0.0, 1.0]) == [0.5, 0.5, 0.5]


def test_all_correct_labels_have_a_finite_temperature() -> None:
    fitted = fit_calibration_map("temperature", *expand((0.9, 10, 10), (0.1, 10, 0)))
    assert fitted([0.9]) == pytest.approx([21 / 22])


def test_platt_matches_the_fraction_of_a_on_both_sides() -> None:
    # 11 chose a and 9 b, so the targets are 12 / 13 and 1 / 11
    fitted = fit_calibration_map("platt", *expand((0.8, 10, 8), (0.2, 10, 3)))
    assert fitted([0.8, 0.2]) == pytest.approx([(8 * 12 / 13 + 2 / 11) / 10, (3 * 12 / 13 + 7 / 11) / 10])


def test_platt_matches_the_logistic_regression_of_scikit_learn() -> None:
    x = np.log(np.array(P_A) / (1 - np.array(P_A)))
    targets = np.where(Y == 1, (Y.sum() + 1) / (Y.sum() + 2), 1 / (len(Y) - Y.sum() + 2))
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000)
    both = np.concatenate([x, x])[:, None]
    reference.fit(both, [1] * len(x) + [0] * len(x), sample_weight=np.concatenate([targets, 1 - targets]))
    fitted = fit_calibration_map("platt", P_A, HUMAN)
    assert isinstance(fitted, PlattScaling)
    assert (fitted.slope, fitted.intercept) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=1e-5)


def test_equal_probabilities_give_platt_an_intercept_only() -> None:
    fitted = fit_calibration_map("platt", *expand((0.5, 20, 15)))
    assert isinstance(fitted, PlattScaling)
    # (15 * 16 / 17 + 5 / 7) / 20 = 353 / 476, i.e. odds of 353 to 123
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.0, math.log(353 / 123)))


def test_isotonic_pools_decreasing_values() -> None:
    # 6 of 10 at 0.75 and 5 of 10 at 0.875: repeated 11 of 20
    fitted = fit_calibration_map("isotonic", *expand((0.75, 10, 6), (0.875, 10, 5)))
    assert fitted([0.75, 0.8, 0.875, 1.0]) == pytest.approx([0.55] * 4)
    assert fitted([0.25, 0.0, 0.5]) == pytest.approx([0.45, 0.45, 0.5])


def test_isotonic_matches_scikit_learn_on_both_orders() -> None:
    p, smallest = np.array(P_A), 1 / (len(P_A) + 2)
    reference = IsotonicRegression(y_min=smallest, y_max=1 - smallest, out_of_bounds="clip")
    reference.fit(np.concatenate([p, 1 - p]), np.concatenate([Y, 1 - Y]))
    grid = np.linspace(0, 1, 201)
    assert fit_calibration_map("isotonic", P_A, HUMAN)(grid.tolist()) == pytest.approx(reference.predict(grid))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_swapped_pairs_get_the_complement(method: CalibrationMethod) -> None:
    fitted = fit_calibration_map(method, P_A, HUMAN)
    fitted_on_swapped = fit_calibration_map(method, [1 - p for p in P_A], [OTHER[choice] for choice in HUMAN])
    assert fitted_on_swapped([1 - p for p in P_A]) == pytest.approx([1 - p for p in fitted(P_A)])
    assert fitted([1 - p for p in P_A]) == pytest.approx([1 - p for p in fitted(P_A)])


@for_each_method
def test_maps_are_non_decreasing_and_stay_inside_zero_and_one(method: CalibrationMethod) -> None:
    mapped = fit_calibration_map(method, P_A, HUMAN)([index / 100 for index in range(101)])
    assert mapped == sorted(mapped)
    assert 0 < mapped[0] < mapped[-1] < 1


@for_each_method
def test_maps_improve_overconfident_labels(method: CalibrationMethod) -> None:
    p_a, human = simulate_labels(sharpness=3.0)
    after = cross_fit_probabilities(method, p_a, human, [str(index) for index in range(len(p_a))])
    assert (log_loss(after, human).value or 9) < (log_loss(p_a, human).value or 0) - 0.02
    assert (brier_score(after, human).value or 9) < (brier_score(p_a, human).value or 0)
    assert (equal_mass_calibration_error(after, human).value or 9) < (
        equal_mass_calibration_error(p_a, human).value or 0
    )


@for_each_method
def test_the_labels_of_a_prompt_do_not_affect_its_own_probabilities(method: CalibrationMethod) -> None:
    prompts = [f"prompt {index // 2}" for index in range(len(P_A))]
    other = [OTHER[choice] if index in {10, 11} else choice for index, choice in enumerate(HUMAN)]
    original, changed = (
        cross_fit_probabilities(method, P_A, HUMAN, prompts),
        cross_fit_probabilities(method, P_A, other, prompts),
    )
    assert original[10:12] == changed[10:12]
    assert original != changed


def test_folds_depend_on_the_seed() -> None:
    prompts = [str(index) for index in range(len(P_A))]
    first, same_seed, other_seed = (
        cross_fit_probabilities("platt", P_A, HUMAN, prompts, seed=seed) for seed in (0, 0, 1)
    )
    assert (first == same_seed, first == other_seed) == (True, False)


def test_metrics_match_values_computed_by_hand_and_scikit_learn() -> None:
    assert brier_score([0.8, 0.4], ["a", "b"]).value == pytest.approx((0.04 + 0.16) / 2)
    assert log_loss([0.8, 0.4], ["a", "b"]).value == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert brier_score(P_A, HUMAN).value == pytest.approx(brier_score_loss(Y, P_A))
    assert log_loss(P_A, HUMAN).value == pytest.approx(reference_log_loss(Y, P_A))


def test_a_certain_mistake_has_a_finite_loss() -> None:
    assert log_loss([1.0, 0.0], ["b", "a"]).value == pytest.approx(-math.log(1e-6))


@pytest.mark.parametrize("metric", [brier_score, log_loss])
def test_metrics_have_an_interval_over_clusters(metric: Callable[..., Any]) -> None:
    single, repeated = metric(P_A, HUMAN), metric(P_A * 2, HUMAN * 2, clusters=[*range(400), *range(400)])
    assert single.low < single.value < single.high
    assert (repeated.value, repeated.n) == (pytest.approx(single.value), 800)
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.05)


def test_the_curve_has_bins_of_equal_size_and_the_gap_computed_by_hand() -> None:
    # confidences 0.6 correct, 0.7 wrong, 0.8 wrong, 0.9 correct; 0.5 is ignored
    p_a: list[float] = [0.9, 0.8, 0.4, 0.3, 0.5]
    human: list[Choice] = ["a", "b", "b", "a", "a"]
    low, high = reliability_curve(p_a, human, bins=2)
    assert [low.confidence, high.confidence] == pytest.approx([0.65, 0.85])
    assert [(point.accuracy.value, point.accuracy.n) for point in (low, high)] == [(0.5, 2), (0.5, 2)]
    fitted = equal_mass_calibration_error(p_a, human, bins=2)
    assert fitted.value == pytest.approx((0.15 + 0.35) / 2)
    assert (fitted.n, fitted.n_failed) == (4, 1)


def test_equally_confident_labels_share_a_bin() -> None:
    (only,) = reliability_curve(*expand((0.875, 10, 8), (0.125, 10, 2)), bins=5)
    assert (only.confidence, only.accuracy.value, only.accuracy.n) == (0.875, 0.8, 20)
    assert equal_mass_calibration_error(*expand((0.875, 10, 8), (0.125, 10, 2))).value == pytest.approx(0.075)


def test_the_curve_has_ten_bins_and_does_not_depend_on_pair_or_response_order() -> None:
    p_a = [0.5 + index / 1000 for index in range(1, 401)]
    curve = reliability_curve(p_a, HUMAN)
    assert [point.accuracy.n for point in curve] == [40] * 10
    assert reliability_curve(p_a[::-1], HUMAN[::-1]) == curve
    swapped = [OTHER[choice] for choice in HUMAN]
    assert [point.accuracy for point in reliability_curve([1 - p for p in p_a], swapped)] == [
        point.accuracy for point in curve
    ]


def test_metrics_are_undefined_without_pairs() -> None:
    assert [metric([], []).value for metric in (brier_score, log_loss, equal_mass_calibration_error)] == [
        None,
        None,
        None,
    ]
    assert reliability_curve([], []) == ()


@for_each_method
def test_too_few_pairs_and_one_sided_labels_are_rejected(method: CalibrationMethod) -> None:
    with pytest.raises(ValueError, match="19 labeled pairs are too few for calibration, expected 20 or more"):
        fit_calibration_map(method, P_A[:19], HUMAN[:19])
    with pytest.raises(ValueError, match="human: all 20 choices are 'b'"):
        fit_calibration_map(method, P_A[:20], ["b"] * 20)
    with pytest.raises(ValueError, match="all 400 pairs are in one of 5 folds"):
        cross_fit_probabilities(method, P_A, HUMAN, ["the same"] * 400)
    with pytest.raises(ValueError, match="prompt_ids: got 3 for 400 pairs"):
        cross_fit_probabilities(method, P_A, HUMAN, ["x", "y", "z"])


@pytest.mark.parametrize("invalid", [1.5, -0.1, math.nan, math.inf])
@pytest.mark.parametrize(
    "function", [brier_score, log_loss, reliability_curve, lambda p, y: fit_calibration_map("platt", p, y)]
)
def test_an_invalid_probability_is_reported_with_its_index(function: Callable[..., Any], invalid: float) -> None:
    with pytest.raises(ValueError, match=rf"p_a\[2\] must be a probability in \[0, 1\], got {invalid}"):
        function([0.2, 0.3, invalid, *P_A], ["a", "b", "b", *HUMAN])


def test_lists_of_different_lengths_invalid_choices_and_zero_bins_are_rejected() -> None:
    invalid: Sequence[Any] = ["a", "tie"]
    with pytest.raises(ValueError, match="human: 1 choices for 2"):
        brier_score([0.2, 0.3], ["a"])
    with pytest.raises(ValueError, match=r"human\[1\] must be 'a' or 'b', got 'tie'"):
        brier_score([0.2, 0.3], invalid)
    with pytest.raises(ValueError, match="bins must be 1 or more, got 0"):
        reliability_curve([0.2], ["a"], bins=0)
