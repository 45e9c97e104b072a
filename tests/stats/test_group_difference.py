"""The difference between two separate groups: the value, Welch's width, and clusters."""

from __future__ import annotations

import math
import statistics

import pytest

from trimtab import stats


def by_id(prefix: str, values: list[float]) -> dict[str, float]:
    return {f"{prefix}{index}": value for index, value in enumerate(values)}


def test_few_rows_have_the_width_of_welch_at_all_rows() -> None:
    first, second = by_id("a", [1.0, 2.0, 3.0]), by_id("b", [2.0, 6.0])
    difference = stats.group_difference(first, second)
    assert (difference.value, difference.n) == (-2.0, 5)
    # s² is 1 and 8, so Welch's variance is 1/3 + 8/2; the variance of a mean of five rows has 5/4, and t(4) is 2.776
    assert difference.high is not None
    assert difference.high + 2 == pytest.approx(2.776445 * math.sqrt(5 / 4 * (1 / 3 + 4)), rel=1e-6)


def test_the_width_does_not_grow_with_the_distance_of_the_means_from_zero() -> None:
    first, second = [0.6 + 0.01 * (n % 7) for n in range(100)], [0.5 + 0.01 * (n % 5) for n in range(50)]
    near, far = (
        stats.group_difference(by_id("a", [x + shift for x in first]), by_id("b", [x + shift for x in second]))
        for shift in (0.0, 100.0)
    )
    width = 1.96 * math.sqrt(statistics.variance(first) / 100 + statistics.variance(second) / 50)
    for metric in (near, far):
        assert metric.low is not None and metric.high is not None
        assert (metric.high - metric.low) / 2 == pytest.approx(width, rel=0.05)


def test_rows_of_one_cluster_are_not_independent() -> None:
    first, second = by_id("a", [0.0, 0.0, 1.0, 1.0] * 10), by_id("b", [0.0, 1.0] * 20)
    pairs = {key: f"{key[0]}{int(key[1:]) // 2}" for key in (*first, *second)}
    alone, together = (stats.group_difference(first, second, clusters=clusters) for clusters in (None, pairs))
    assert alone.low is not None and together.low is not None
    # the two rows of a cluster are equal in the first group, and cancel out in the second
    assert together.low == pytest.approx(alone.low, rel=0.1)
    assert stats.group_difference(first, {}).value is None
    assert stats.group_difference(first, {"x": 0.0}).low is None


def test_a_row_in_both_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="1 rows are in both groups, for example x"):
        stats.group_difference({"x": 0.0, "y": 1.0}, {"x": 1.0})
