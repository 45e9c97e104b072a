"""Calibration against numbers worked by hand and against scikit-learn."""

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
every = pytest.mark.parametrize("method", METHODS)


def drawn(count: int = 400, sharpness: float = 2.0, seed: int = 1) -> tuple[list[float], list[Choice]]:
    """Probabilities whose log-odds are so many times too great, in sixty-fourths, which have exact complements."""
    draw = random.Random(seed)
    p_a = [draw.randint(1, 63) / 64 for _ in range(count)]
    human: list[Choice] = []
    for p in p_a:
        odds = (p / (1 - p)) ** (1 / sharpness)
        human.append("a" if draw.random() < odds / (1 + odds) else "b")
    return p_a, human


def counted(*groups: tuple[float, int, int]) -> tuple[list[float], list[Choice]]:
    """So many pairs of a probability, of which people chose `a` in so many."""
    p_a = [p for p, n, _ in groups for _ in range(n)]
    human: list[Choice] = ["a" if place < n_a else "b" for _, n, n_a in groups for place in range(n)]
    return p_a, human


P_A, HUMAN = drawn()
Y = np.array([choice == "a" for choice in HUMAN], dtype=float)


def test_a_temperature_brings_confidence_to_the_share_that_is_right() -> None:
    # 15 of 20 are right at 0.9, and Platt's target for 20 right ones is 21 / 22: (15 * 21 + 5) / (20 * 22) = 8 / 11
    found = fit_calibration_map("temperature", *counted((0.9, 10, 8), (0.1, 10, 3)))
    assert found([0.9, 0.1, 0.5]) == pytest.approx([8 / 11, 3 / 11, 0.5])


def test_a_temperature_that_was_put_in_is_found() -> None:
    found = fit_calibration_map("temperature", *drawn(20_000, sharpness=2.5))
    assert isinstance(found, TemperatureScaling)
    assert found.temperature == pytest.approx(2.5, rel=0.05)


def test_labels_no_better_than_chance_end_at_one_half() -> None:
    found = fit_calibration_map("temperature", *counted((0.9, 10, 3), (0.1, 10, 7)))
    assert found == TemperatureScaling(temperature=math.inf)
    assert found([0.9, 0.0, 1.0]) == [0.5, 0.5, 0.5]


def test_labels_that_are_all_right_keep_a_finite_temperature() -> None:
    found = fit_calibration_map("temperature", *counted((0.9, 10, 10), (0.1, 10, 0)))
    assert found([0.9]) == pytest.approx([21 / 22])


def test_platt_meets_the_share_of_a_on_either_side_by_itself() -> None:
    # 11 chose a and 9 b, so the targets are 12 / 13 and 1 / 11
    found = fit_calibration_map("platt", *counted((0.8, 10, 8), (0.2, 10, 3)))
    assert found([0.8, 0.2]) == pytest.approx([(8 * 12 / 13 + 2 / 11) / 10, (3 * 12 / 13 + 7 / 11) / 10])


def test_platt_is_the_logistic_regression_of_scikit_learn_on_the_same_targets() -> None:
    x = np.log(np.array(P_A) / (1 - np.array(P_A)))
    targets = np.where(Y == 1, (Y.sum() + 1) / (Y.sum() + 2), 1 / (len(Y) - Y.sum() + 2))
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000)
    both = np.concatenate([x, x])[:, None]
    reference.fit(both, [1] * len(x) + [0] * len(x), sample_weight=np.concatenate([targets, 1 - targets]))
    found = fit_calibration_map("platt", P_A, HUMAN)
    assert isinstance(found, PlattScaling)
    assert (found.slope, found.intercept) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=1e-5)


def test_equal_probabilities_teach_platt_a_lean_alone() -> None:
    found = fit_calibration_map("platt", *counted((0.5, 20, 15)))
    assert isinstance(found, PlattScaling)
    # (15 * 16 / 17 + 5 / 7) / 20 = 353 / 476, which are odds of 353 to 123
    assert (found.slope, found.intercept) == pytest.approx((0.0, math.log(353 / 123)))


def test_isotonic_pools_what_does_not_rise() -> None:
    # 6 of 10 at 0.75 and 5 of 10 at 0.875: together 11 of 20
    found = fit_calibration_map("isotonic", *counted((0.75, 10, 6), (0.875, 10, 5)))
    assert found([0.75, 0.8, 0.875, 1.0]) == pytest.approx([0.55] * 4)
    assert found([0.25, 0.0, 0.5]) == pytest.approx([0.45, 0.45, 0.5])


def test_isotonic_is_that_of_scikit_learn_on_both_orientations() -> None:
    p, least = np.array(P_A), 1 / (len(P_A) + 2)
    reference = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    reference.fit(np.concatenate([p, 1 - p]), np.concatenate([Y, 1 - Y]))
    asked = np.linspace(0, 1, 201)
    assert fit_calibration_map("isotonic", P_A, HUMAN)(asked.tolist()) == pytest.approx(reference.predict(asked))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_swapped_pairs_get_what_is_left_of_one(method: CalibrationMethod) -> None:
    there = fit_calibration_map(method, P_A, HUMAN)
    back = fit_calibration_map(method, [1 - p for p in P_A], [OTHER[choice] for choice in HUMAN])
    assert back([1 - p for p in P_A]) == pytest.approx([1 - p for p in there(P_A)])
    assert there([1 - p for p in P_A]) == pytest.approx([1 - p for p in there(P_A)])


@every
def test_a_map_rises_and_stays_inside_zero_and_one(method: CalibrationMethod) -> None:
    mapped = fit_calibration_map(method, P_A, HUMAN)([place / 100 for place in range(101)])
    assert mapped == sorted(mapped)
    assert 0 < mapped[0] < mapped[-1] < 1


@every
def test_a_map_makes_too_sure_labels_better(method: CalibrationMethod) -> None:
    p_a, human = drawn(sharpness=3.0)
    after = cross_fit_probabilities(method, p_a, human, [str(place) for place in range(len(p_a))])
    assert (log_loss(after, human).value or 9) < (log_loss(p_a, human).value or 0) - 0.02
    assert (brier_score(after, human).value or 9) < (brier_score(p_a, human).value or 0)
    assert (equal_mass_calibration_error(after, human).value or 9) < (
        equal_mass_calibration_error(p_a, human).value or 0
    )


@every
def test_a_pairs_own_label_and_those_of_its_prompt_have_no_part_in_its_probability(method: CalibrationMethod) -> None:
    prompts = [f"prompt {place // 2}" for place in range(len(P_A))]
    other = [OTHER[choice] if place in {10, 11} else choice for place, choice in enumerate(HUMAN)]
    there, back = (
        cross_fit_probabilities(method, P_A, HUMAN, prompts),
        cross_fit_probabilities(method, P_A, other, prompts),
    )
    assert there[10:12] == back[10:12]
    assert there != back


def test_folds_follow_from_the_seed() -> None:
    prompts = [str(place) for place in range(len(P_A))]
    first, again, another = (cross_fit_probabilities("platt", P_A, HUMAN, prompts, seed=seed) for seed in (0, 0, 1))
    assert (first == again, first == another) == (True, False)


def test_figures_are_those_that_a_hand_finds_and_those_of_scikit_learn() -> None:
    assert brier_score([0.8, 0.4], ["a", "b"]).value == pytest.approx((0.04 + 0.16) / 2)
    assert log_loss([0.8, 0.4], ["a", "b"]).value == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert brier_score(P_A, HUMAN).value == pytest.approx(brier_score_loss(Y, P_A))
    assert log_loss(P_A, HUMAN).value == pytest.approx(reference_log_loss(Y, P_A))


def test_a_sure_mistake_costs_much_and_not_without_end() -> None:
    assert log_loss([1.0, 0.0], ["b", "a"]).value == pytest.approx(-math.log(1e-6))


@pytest.mark.parametrize("figure", [brier_score, log_loss])
def test_a_figure_has_its_interval_which_pairs_of_one_prompt_widen(figure: Callable[..., Any]) -> None:
    alone, together = figure(P_A, HUMAN), figure(P_A * 2, HUMAN * 2, clusters=[*range(400), *range(400)])
    assert alone.low < alone.value < alone.high
    assert (together.value, together.n) == (pytest.approx(alone.value), 800)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_the_curve_has_bins_of_equal_count_and_a_gap_that_a_hand_finds() -> None:
    # confidences 0.6 right, 0.7 wrong, 0.8 wrong, 0.9 right; 0.5 prefers nothing
    p_a: list[float] = [0.9, 0.8, 0.4, 0.3, 0.5]
    human: list[Choice] = ["a", "b", "b", "a", "a"]
    low, high = reliability_curve(p_a, human, bins=2)
    assert [low.confidence, high.confidence] == pytest.approx([0.65, 0.85])
    assert [(each.accuracy.value, each.accuracy.n) for each in (low, high)] == [(0.5, 2), (0.5, 2)]
    found = equal_mass_calibration_error(p_a, human, bins=2)
    assert found.value == pytest.approx((0.15 + 0.35) / 2)
    assert (found.n, found.n_failed) == (4, 1)


def test_equally_sure_labels_share_a_bin_whichever_response_they_prefer() -> None:
    (only,) = reliability_curve(*counted((0.875, 10, 8), (0.125, 10, 2)), bins=5)
    assert (only.confidence, only.accuracy.value, only.accuracy.n) == (0.875, 0.8, 20)
    assert equal_mass_calibration_error(*counted((0.875, 10, 8), (0.125, 10, 2))).value == pytest.approx(0.075)


def test_the_curve_of_many_pairs_has_tenths_and_does_not_hang_on_order_or_orientation() -> None:
    p_a = [0.5 + place / 1000 for place in range(1, 401)]
    curve = reliability_curve(p_a, HUMAN)
    assert [each.accuracy.n for each in curve] == [40] * 10
    assert reliability_curve(p_a[::-1], HUMAN[::-1]) == curve
    turned = [OTHER[choice] for choice in HUMAN]
    assert [each.accuracy for each in reliability_curve([1 - p for p in p_a], turned)] == [
        each.accuracy for each in curve
    ]


def test_without_pairs_there_is_no_figure() -> None:
    assert [figure([], []).value for figure in (brier_score, log_loss, equal_mass_calibration_error)] == [
        None,
        None,
        None,
    ]
    assert reliability_curve([], []) == ()


@every
def test_too_few_pairs_and_one_sided_choices_are_refused(method: CalibrationMethod) -> None:
    with pytest.raises(ValueError, match="19 labeled pairs are too few to calibrate on, expected 20 or more"):
        fit_calibration_map(method, P_A[:19], HUMAN[:19])
    with pytest.raises(ValueError, match="human: all 20 choices are 'b'"):
        fit_calibration_map(method, P_A[:20], ["b"] * 20)
    with pytest.raises(ValueError, match="all 400 pairs are in one of 5 folds"):
        cross_fit_probabilities(method, P_A, HUMAN, ["the same"] * 400)
    with pytest.raises(ValueError, match="prompt_ids: 3 of them for 400 pairs"):
        cross_fit_probabilities(method, P_A, HUMAN, ["x", "y", "z"])


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan, math.inf])
@pytest.mark.parametrize(
    "used", [brier_score, log_loss, reliability_curve, lambda p, y: fit_calibration_map("platt", p, y)]
)
def test_what_is_no_probability_is_named_with_its_place(used: Callable[..., Any], wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"p_a\[2\] must be a probability in \[0, 1\], got {wrong}"):
        used([0.2, 0.3, wrong, *P_A], ["a", "b", "b", *HUMAN])


def test_crooked_lists_wrong_choices_and_no_bins_are_refused() -> None:
    wrong: Sequence[Any] = ["a", "tie"]
    with pytest.raises(ValueError, match="human: 1 choices for 2"):
        brier_score([0.2, 0.3], ["a"])
    with pytest.raises(ValueError, match=r"human\[1\] must be 'a' or 'b', got 'tie'"):
        brier_score([0.2, 0.3], wrong)
    with pytest.raises(ValueError, match="bins must be 1 or more, got 0"):
        reliability_curve([0.2], ["a"], bins=0)
