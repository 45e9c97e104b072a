"""Correlation of two metrics on the same rows, and the difference between two correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import FloatArray, require_finite, sum_by_cluster, undefined_metric
from trimtab.stats.quantiles import Z95
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
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


def pearson_difference(x: Sequence[float], y: Sequence[float], z: Sequence[float], *, seed: int = 0) -> Metric:
    """Pearson's correlation of x and y minus that of x and z, on the same rows, with a bootstrap interval over rows.

    In simulations, 95% intervals cover the true value in 92 of 100 cases for 30 rows and in 94 for 100 and 300 rows. Undefined
    for fewer than two rows or if a variable is constant. No interval for fewer than ten rows. Raises `ValueError` for lists of
    different lengths.
    """
    if not len(x) == len(y) == len(z):
        raise ValueError(f"pearson_difference: {len(x)} values of x, {len(y)} of y and {len(z)} of z")
    rows = np.stack([require_finite(values, name) for values, name in ((x, "x"), (y, "y"), (z, "z"))], axis=1)
    if len(rows) < 2 or not np.ptp(rows, axis=0).all():
        return undefined_metric(len(rows))
    # scaled, so that sums of squares lose no digits
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    xs, ys, zs = rows.T
    sums = sum_by_cluster(np.stack([xs, ys, zs, xs * xs, ys * ys, zs * zs, xs * ys, xs * zs], axis=1), None)
    value = float(_subtract_correlations(sums.sum(axis=0, keepdims=True))[0])
    if len(rows) < MIN_BOOTSTRAP_CLUSTERS:
        return Metric(value=value, low=None, high=None, n=len(rows))
    differences = _subtract_correlations(resample_sums(sums, seed))
    low, high = percentile_interval(differences[np.isfinite(differences)], len(rows))
    return Metric(value=value, low=low, high=high, n=len(rows))


def _subtract_correlations(sums: FloatArray) -> FloatArray:
    """r(x, y) - r(x, z) of each sample, from the sums of x, y, z, x², y², z², xy and xz and the number of rows.

    NaN for a sample in which a variable is constant.
    """
    mx, my, mz, xx, yy, zz, xy, xz = (sums[:, :-1] / sums[:, -1:]).T
    vx, vy, vz = xx - mx * mx, yy - my * my, zz - mz * mz
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: FloatArray = (xy - mx * my) / np.sqrt(vx * vy) - (xz - mx * mz) / np.sqrt(vx * vz)
    return difference
