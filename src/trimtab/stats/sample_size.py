"""Sample size needed to detect an observed difference."""

from __future__ import annotations

import math

from trimtab.stats.quantiles import Z95, normal_quantile
from trimtab.types import Metric

POWER = 0.8


def required_sample_size(difference: Metric) -> int | None:
    """The number of rows at which a true difference of this size is significant with a power of 80%.

    Assumes that the standard error scales from this interval by √(n/N), so a difference d needs
    N = n ((1.96 + 0.84) · (high - low) / (2 · 1.96 |d|))² rows (Cohen 1988, chapter 2), in clusters of the same size. If the
    observed difference overestimates the true one, more rows are needed. None without an interval, or for a difference of zero.
    """
    value, low, high = difference.value, difference.low, difference.high
    if not value or low is None or high is None:
        return None
    error = (high - low) / (2 * Z95)
    return max(1, math.ceil(difference.n * ((Z95 + normal_quantile(POWER)) * error / abs(value)) ** 2))
