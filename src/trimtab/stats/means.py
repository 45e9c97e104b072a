"""Means: of arbitrary values, of values in [0, 1], and of binary counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.stats.cluster_variance import estimate_clustered_means
from trimtab.stats.clusters import (
    ClusterIds,
    FloatArray,
    exact_mean,
    require_finite,
    sum_by_cluster,
    undefined_metric,
)
from trimtab.stats.permutation_test import widen_to_null_unless_significant
from trimtab.stats.quantiles import Z95, student_t_quantile
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
from trimtab.types import Metric


def mean(values: Sequence[float], *, n_failed: int = 0, seed: int = 0, clusters: ClusterIds | None = None) -> Metric:
    """The arithmetic mean with a bootstrap interval (Efron 1979; expanded percentiles of Hesterberg 2015).

    `clusters` is the group of each row, such as its prompt. Rows of one cluster are resampled together, because they are not
    independent; the mean of a resample is the sum of its rows over their number. Fewer than ten clusters are too few for the
    tails of a bootstrap: the interval is then Student's t on the cluster sums; with fewer than two clusters there is no
    interval. Raises `ValueError` for values that are not finite and for clusters of a different length.
    """
    rows = require_finite(values, "values")
    sums = sum_by_cluster(rows[:, None], clusters)
    if not len(rows):
        return undefined_metric(0, n_failed)
    value = exact_mean(rows)
    few = len(sums) < MIN_BOOTSTRAP_CLUSTERS
    low, high = _student_t_interval(value, rows, clusters) if few else _bootstrap_interval(sums, seed)
    return Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)


def bounded_mean(
    values: Sequence[float], *, null: float | None = None, n_failed: int = 0, clusters: ClusterIds | None = None
) -> Metric:
    """The mean of values in [0, 1], such as outcomes with ties as one half, with Wilson's (1927) interval at the effective
    sample size.

    The effective sample size is p(1-p) / v, with p the mean and v its variance over clusters, as in survey statistics (Korn &
    Graubard 1998); the quantile is Student's t with clusters - 1 degrees of freedom. The interval stays in [0, 1] and has
    positive width even if all rows are equal. For all 0 or all 1, the effective size is the number of clusters G. For all ties
    it is (G/z)², which leaves room for the largest fraction of decided rows that may have gone unobserved, z²/G, to be all on
    one side. An interval that excludes `null` (for example, one half for a coin flip) is widened to include it if the exact
    test over clusters (`sign_flip_p_value`) has p > 0.05. There is no interval for fewer than two clusters. Raises `ValueError`
    for values outside [0, 1].
    """
    rows = require_finite(values, "values")
    if len(rows) and not 0 <= rows.min() <= rows.max() <= 1:
        raise ValueError(f"values must be in [0, 1], got {rows.min()} to {rows.max()}")
    if not len(rows):
        return undefined_metric(0, n_failed)
    value, means = exact_mean(rows), estimate_clustered_means(rows[:, None], clusters)
    if means.n_clusters < 2:
        return Metric(value=value, low=None, high=None, n=len(rows), n_failed=n_failed)
    size = effective_sample_size(value * (1 - value), float(means.covariance[0, 0]), means.n_clusters)
    low, high = wilson_interval(value, size, student_t_quantile(means.n_clusters - 1))
    metric = Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)
    if null is None:
        return metric
    return widen_to_null_unless_significant(metric, sum_by_cluster(rows[:, None] - null, clusters)[:, 0], null)


def proportion(successes: int, n: int, n_failed: int = 0) -> Metric:
    """The fraction of successes among `n` independent rows, with the score interval of Wilson (1927).

    With p = successes / n and z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). The interval stays inside [0, 1]
    and has positive width even for 0 or n successes. Raises `ValueError` unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in [0, n], got {successes} of {n}")
    if n == 0:
        return undefined_metric(0, n_failed)
    low, high = wilson_interval(successes / n, n, Z95)
    return Metric(value=successes / n, low=low, high=high, n=n, n_failed=n_failed)


def effective_sample_size(row_variance: float, variance: float, clusters: int) -> float:
    """The number of independent rows of variance `row_variance` whose mean has this `variance`, at most (clusters / 1.96)²."""
    if row_variance <= 0:
        return float(clusters)
    largest = (clusters / Z95) ** 2
    return min(row_variance / variance, largest) if variance > 0 else largest


def _student_t_interval(
    value: float, rows: FloatArray, clusters: ClusterIds | None
) -> tuple[float | None, float | None]:
    means = estimate_clustered_means(rows[:, None], clusters)
    if means.n_clusters < 2:
        return None, None
    half_width = student_t_quantile(means.n_clusters - 1) * math.sqrt(float(means.covariance[0, 0]))
    return value - half_width, value + half_width


def _bootstrap_interval(sums: FloatArray, seed: int) -> tuple[float, float]:
    resamples = resample_sums(sums, seed)
    return percentile_interval(resamples[:, 0] / resamples[:, 1], len(sums))


def wilson_interval(value: float, n: float, z: float) -> tuple[float, float]:
    z2 = z * z
    center = value + z2 / (2 * n)
    half_width = z * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    scale = 1 + z2 / n
    # the bounds for 0 and n successes are exactly 0 and 1, apart from rounding
    low = 0.0 if value == 0 else (center - half_width) / scale
    high = 1.0 if value == 1 else (center + half_width) / scale
    return low, high
