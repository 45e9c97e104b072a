"""The probability of superiority, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.stats.superiority import compute_superiority


def test_a_hand_worked_example() -> None:
    # of the four comparisons 2 > 1, 3 > 1, 2 = 2, 3 > 2 the second sample wins three and a half
    result = compute_superiority([1, 2], [2, 3])
    metric = result.probability
    assert (metric.value, metric.n) == (3.5 / 4, 4)
    # placements: 2 and 3 are above 3/4 and all of (1, 2); 1 and 2 are above none and 1/4 of (2, 3). Both variances are 1/32.
    error = (1 / 32 / 2 + 1 / 32 / 2) ** 0.5
    assert metric.low == pytest.approx(0.875 - 1.959964 * error)
    assert metric.high == 1.0
    # z = 0.375 / 0.17678 = 2.1213
    assert result.p_value == pytest.approx(0.033895, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "value", "p_value"),
    [([1, 1], [1, 1], 0.5, 1.0), ([1, 2], [3, 4], 1.0, 0.0), ([3, 4], [1, 2], 0.0, 0.0)],
)
def test_equal_and_separate_samples_have_no_error(
    first: list[float], second: list[float], value: float, p_value: float
) -> None:
    result = compute_superiority(first, second)
    assert (result.probability.value, result.p_value) == (value, p_value)


def test_the_interval_covers_the_probability_and_the_level_is_5_percent() -> None:
    rng, draws, covered, rejected = np.random.default_rng(3), 400, 0, 0
    for _ in range(draws):
        first, second = rng.exponential(size=60), rng.exponential(2.0, size=150)
        metric = compute_superiority(first.tolist(), second.tolist()).probability
        assert metric.low is not None and metric.high is not None
        # P(Y > X) of exponentials with means 2 and 1 is 2/3
        covered += metric.low <= 2 / 3 <= metric.high
        rejected += compute_superiority(first.tolist(), (second / 2).tolist()).p_value < 0.05
    tolerance = 3 * (0.05 * 0.95 / draws) ** 0.5
    assert covered / draws >= 0.95 - tolerance
    assert abs(rejected / draws - 0.05) <= tolerance


def test_a_sample_of_one_value_is_rejected() -> None:
    with pytest.raises(ValueError, match="1 and 2 values"):
        compute_superiority([1], [1, 2])
