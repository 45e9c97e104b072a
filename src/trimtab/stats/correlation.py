"""Correlation of two metrics on the same rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import require_finite, undefined_metric
from trimtab.stats.quantiles import Z95
from trimtab.types import Metric


def pearson(x: Sequence[float], y: Sequence[float], *, n_failed: int = 0) -> Metric:
    """Pearson's correlation with Fisher's (1921) interval, tanh(artanh r ± 1.96 / √(n-3)).

    Undefined for fewer than two points or if one side is constant. No interval for fewer than four points.
    """
    if len(x) != len(y):
        raise ValueError(f"pearson: {len(x)} values of x for {len(y)} of y")
    xs, ys = require_finite(x, "x"), require_finite(y, "y")
    n = len(xs)
    if n < 2 or np.ptp(xs) == 0 or np.ptp(ys) == 0:
        return undefined_metric(n, n_failed)
    dx, dy = xs - xs.mean(), ys - ys.mean()
    r = float(np.clip(dx @ dy / math.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))
    if n < 4:
        return Metric(value=r, low=None, high=None, n=n, n_failed=n_failed)
    if abs(r) == 1.0:
        return Metric(value=r, low=r, high=r, n=n, n_failed=n_failed)
    z, half_width = math.atanh(r), Z95 / math.sqrt(n - 3)
    return Metric(value=r, low=math.tanh(z - half_width), high=math.tanh(z + half_width), n=n, n_failed=n_failed)
