"""Averages: of any figures, of figures between 0 and 1, and of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.stats.cluster_variance import estimate_clustered_means
from trimtab.stats.clusters import ClusterIds, FloatArray, exact_mean, require_finite, sum_by_cluster, undefined_metric
from trimtab.stats.permutation_test import widen_to_null_unless_significant
from trimtab.stats.quantiles import Z95, student_t_quantile
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
from trimtab.types import Metric


def mean(values: Sequence[float], *, n_failed: int = 0, seed: int = 0, clusters: ClusterIds | None = None) -> Metric:
    """The arithmetic mean with a bootstrap interval (Efron 1979; percentiles as Hesterberg 2015 expands them).

    `clusters` names what each row belongs to, such as its prompt. Rows of one cluster are drawn together, because they
    are not independent, and a resample's mean is the sum of its rows over their number. With fewer than ten clusters
    resamples are too few to have tails, and the interval is Student's t on the clusters' sums; there is none with fewer than
    two. Raises `ValueError` for values that are not finite and for clusters of another length.
    """
    rows = require_finite(values, "values")
    sums = sum_by_cluster(rows[:, None], clusters)
    if not len(rows):
        return undefined_metric(0, n_failed)
    value = exact_mean(rows)
    low, high = (
        _student_t_interval(value, rows, clusters)
        if len(sums) < MIN_BOOTSTRAP_CLUSTERS
        else _bootstrap_interval(sums, seed)
    )
    return Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)


def bounded_mean(
    values: Sequence[float], *, null: float | None = None, n_failed: int = 0, clusters: ClusterIds | None = None
) -> Metric:
    """The mean of figures in [0, 1], such as rights, wrongs and halves for ties, with Wilson's (1927) interval at the number
    of independent rows that they are worth.

    That number is p(1-p) / v, with p the mean and v its variance over clusters, as surveys do it (Korn & Graubard 1998); the
    quantile is Student's with clusters - 1 degrees of freedom. The interval stays in [0, 1] and keeps a width where every
    row is alike. All 0 or all 1 are worth their G clusters. All ties are worth (G/z)², which leaves as much room as if the
    largest share of decided rows that may well have stayed unseen, z²/G, all went to one side. An interval
    that would leave out `null`, such as a coin's one half, reaches to it where the exact test over clusters (`swapped`) has
    p > 0.05. There is no interval with fewer than two clusters. Raises `ValueError` for values outside [0, 1].
    """
    rows = require_finite(values, "values")
    if len(rows) and not 0 <= rows.min() <= rows.max() <= 1:
        raise ValueError(f"values must be in [0, 1], got {rows.min()} to {rows.max()}")
    if not len(rows):
        return undefined_metric(0, n_failed)
    value, found = exact_mean(rows), estimate_clustered_means(rows[:, None], clusters)
    if found.n_clusters < 2:
        return Metric(value=value, low=None, high=None, n=len(rows), n_failed=n_failed)
    worth = effective_sample_size(value * (1 - value), float(found.covariance[0, 0]), found.n_clusters)
    low, high = _wilson_interval(value, worth, student_t_quantile(found.n_clusters - 1))
    told = Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)
    return (
        told
        if null is None
        else widen_to_null_unless_significant(told, sum_by_cluster(rows[:, None] - null, clusters)[:, 0], null)
    )


def proportion(successes: int, n: int, n_failed: int = 0) -> Metric:
    """The share of `n` independent rows that succeeded, with the score interval of Wilson (1927).

    With p = successes / n and z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). It stays inside [0, 1] and
    keeps a width where all or none succeeded. Raises `ValueError` unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in [0, n], got {successes} of {n}")
    if n == 0:
        return undefined_metric(0, n_failed)
    low, high = _wilson_interval(successes / n, n, Z95)
    return Metric(value=successes / n, low=low, high=high, n=n, n_failed=n_failed)


def _student_t_interval(
    value: float, rows: FloatArray, clusters: ClusterIds | None
) -> tuple[float | None, float | None]:
    found = estimate_clustered_means(rows[:, None], clusters)
    if found.n_clusters < 2:
        return None, None
    half = student_t_quantile(found.n_clusters - 1) * math.sqrt(float(found.covariance[0, 0]))
    return value - half, value + half


def _bootstrap_interval(sums: FloatArray, seed: int) -> tuple[float, float]:
    draws = resample_sums(sums, seed)
    return percentile_interval(draws[:, 0] / draws[:, 1], len(sums))


def effective_sample_size(row_variance: float, variance: float, clusters: int) -> float:
    """How many independent rows, of that variance each, would have a mean as uncertain as one of `variance` over clusters."""
    if row_variance <= 0:
        return float(clusters)
    most = (clusters / Z95) ** 2
    return min(row_variance / variance, most) if variance > 0 else most


def _wilson_interval(value: float, n: float, z: float) -> tuple[float, float]:
    z2 = z * z
    center = value + z2 / (2 * n)
    spread = z * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    scale = 1 + z2 / n
    # The bounds at 0 and n successes are exactly 0 and 1; rounding would leave them a hair inside or outside.
    low = 0.0 if value == 0 else (center - spread) / scale
    high = 1.0 if value == 1 else (center + spread) / scale
    return low, high
