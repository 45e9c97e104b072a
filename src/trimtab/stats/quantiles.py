"""Quantiles of the distributions behind intervals, without scipy at run time."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

Z95 = 1.959963984540054
# From here on the expansion of the quantile in 1 / df is exact to ten digits.
_MIN_EXPANSION_DF = 200


def normal_cdf(z: float) -> float:
    """The chance that a standard normal variable is at most z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


@lru_cache(maxsize=4096)
def student_t_quantile(df: int) -> float:
    """The t that a variable of Student's distribution with `df` >= 1 degrees of freedom exceeds in size 5 % of the time."""
    if df < _MIN_EXPANSION_DF:
        return find_root(lambda t: _student_t_central_probability(t, df) - 0.95, Z95, 13.0)
    z = Z95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / df + second / df**2 + third / df**3


@lru_cache(maxsize=4096)
def chi_square_quantile(probability: float, df: int) -> float:
    """The value that a chi-square variable with `df` >= 1 degrees of freedom stays below with that probability in (0, 1)."""
    return find_root(lambda x: _chi_square_cdf(x, df) - probability, 0.0, df + 50.0 + 20.0 * math.sqrt(df))


def _student_t_central_probability(t: float, df: int) -> float:
    """P(|T| <= t): the finite series of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(df))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = df % 2 == 1
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 if odd else 1, df, 2):
        total += term
        term *= square * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _chi_square_cdf(x: float, df: int) -> float:
    """P(X <= x) of chi-square: the finite series of Abramowitz & Stegun (1964), 26.4.4 and 26.4.5, for x > 0."""
    half, first = x / 2, df % 2 / 2
    powers = [first + k for k in range((df - df % 2) // 2)]
    beyond = math.fsum(math.exp(k * math.log(half) - half - math.lgamma(k + 1)) for k in powers)
    return 1 - beyond - (math.erfc(math.sqrt(half)) if first else 0.0)


def find_root(increasing: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that rises through zero between two bounds is zero."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return (low + high) / 2
