"""Distribution functions for confidence intervals of 95%. scipy is imported on first use, to keep the command line fast."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# The 0.975 quantile of the standard normal distribution.
Z95 = 1.959963984540054


def normal_cdf(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(z))


def normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


@lru_cache(maxsize=4096)
def student_t_quantile(df: int) -> float:
    """The 0.975 quantile of Student's t distribution with `df` >= 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))


def student_t_quantiles(df: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for an array of positive degrees of freedom, which need not be whole numbers."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(df, 0.975), dtype=np.float64)


def chi_square_quantile(probability: float, df: int) -> float:
    """The quantile of the chi-square distribution with `df` >= 1 degrees of freedom."""
    from scipy.special import chdtri

    return float(chdtri(df, 1 - probability))
