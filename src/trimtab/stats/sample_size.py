"""How many rows it would take to tell two arms apart."""

from __future__ import annotations

import math

from trimtab.stats.quantiles import Z95
from trimtab.types import Metric

# The standard normal quantile of 0.8: four studies in five would show it.
_Z_POWER = 0.8416212335729143


def required_sample_size(difference: Metric) -> int | None:
    """The number of rows at which a difference that is truly as large as this one would be shown 4 times in 5.

    The standard error at N rows is taken to be that of the interval at hand times √(n/N), so a difference d needs
    N = n ((1.96 + 0.84) · (high - low) / (2 · 1.96 |d|))² rows (Cohen 1988, chapter 2), in clusters as large as they are here.
    A difference that looks larger than it is needs more. None where there is no interval, or no difference at all.
    """
    value, low, high = difference.value, difference.low, difference.high
    if not value or low is None or high is None:
        return None
    error = (high - low) / (2 * Z95)
    return max(1, math.ceil(difference.n * ((Z95 + _Z_POWER) * error / abs(value)) ** 2))
