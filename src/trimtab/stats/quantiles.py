"""Quantiles for confidence intervals of 95 %."""

from __future__ import annotations

from functools import lru_cache

from scipy.special import ndtri, stdtrit

Z95 = float(ndtri(0.975))


@lru_cache(maxsize=4096)
def student_t_quantile(df: int) -> float:
    """The 0.975 quantile of Student's t distribution with `df` >= 1 degrees of freedom."""
    return float(stdtrit(df, 0.975))
