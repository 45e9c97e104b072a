"""How often a value of one sample is higher than a value of another: an effect size for two samples."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from trimtab.stats.quantiles import Z95, normal_cdf
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """`probability` is that a random value of the second sample is higher than one of the first, ties counting half.

    It is 1/2 if the samples are from one distribution, but also if they differ in spread only. `p_value` is two-sided.
    """

    probability: Metric
    p_value: float


def compute_superiority(first: Sequence[float], second: Sequence[float]) -> Superiority:
    """The probability of superiority (the area under the ROC curve), with the interval of DeLong et al. (1988) in [0, 1].

    Values must be independent. `n` counts both samples. Raises `ValueError` if a sample has fewer than two values.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"superiority: samples of {len(first)} and {len(second)} values; expected two or more in each")
    of_second = _compute_placements(second, sorted(first))
    of_first = _compute_placements(first, sorted(second))
    value, n = fmean(of_second), len(first) + len(second)
    error = (variance(of_second) / len(second) + variance(of_first) / len(first)) ** 0.5
    if error == 0:
        return Superiority(
            probability=Metric(value=value, low=value, high=value, n=n), p_value=1.0 if value == 0.5 else 0.0
        )
    low, high = max(0.0, value - Z95 * error), min(1.0, value + Z95 * error)
    return Superiority(
        probability=Metric(value=value, low=low, high=high, n=n),
        p_value=2 * normal_cdf(-abs(value - 0.5) / error),
    )


def _compute_placements(values: Sequence[float], ordered: Sequence[float]) -> list[float]:
    """For each value, the share of the ordered ones that are lower, ties counting half."""
    return [(bisect_left(ordered, value) + bisect_right(ordered, value)) / (2 * len(ordered)) for value in values]
