"""Averages: of any figures, of figures between 0 and 1, and of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.statistics.exact import as_told
from trimtab.statistics.quantiles import Z95, student_t
from trimtab.statistics.resampling import FEW, percentiles, resampled_sums
from trimtab.statistics.rows import Clusters, Floats, average, by_cluster, finite, nothing
from trimtab.statistics.spread import clustered_means
from trimtab.types import Metric


def mean(values: Sequence[float], *, n_failed: int = 0, seed: int = 0, clusters: Clusters | None = None) -> Metric:
    """The arithmetic mean with a bootstrap interval (Efron 1979; percentiles as Hesterberg 2015 expands them).

    `clusters` names what each row belongs to, such as its prompt. Rows of one cluster are drawn together, because they
    are not independent, and a resample's mean is the sum of its rows over their number. With fewer than ten clusters
    resamples are too few to have tails, and the interval is Student's t on the clusters' sums; there is none with fewer than
    two. Raises `ValueError` for values that are not finite and for clusters of another length.
    """
    rows = finite(values, "values")
    sums = by_cluster(rows[:, None], clusters)
    if not len(rows):
        return nothing(0, n_failed)
    value = average(rows)
    low, high = _around(value, rows, clusters) if len(sums) < FEW else _bootstrapped(sums, seed)
    return Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)


def share(
    values: Sequence[float], *, null: float | None = None, n_failed: int = 0, clusters: Clusters | None = None
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
    rows = finite(values, "values")
    if len(rows) and not 0 <= rows.min() <= rows.max() <= 1:
        raise ValueError(f"values must be in [0, 1], got {rows.min()} to {rows.max()}")
    if not len(rows):
        return nothing(0, n_failed)
    value, found = average(rows), clustered_means(rows[:, None], clusters)
    if found.clusters < 2:
        return Metric(value=value, low=None, high=None, n=len(rows), n_failed=n_failed)
    worth = independent(value * (1 - value), float(found.covariance[0, 0]), found.clusters)
    low, high = _wilson(value, worth, student_t(found.clusters - 1))
    told = Metric(value=value, low=low, high=high, n=len(rows), n_failed=n_failed)
    return told if null is None else as_told(told, by_cluster(rows[:, None] - null, clusters)[:, 0], null)


def proportion(successes: int, n: int, n_failed: int = 0) -> Metric:
    """The share of `n` independent rows that succeeded, with the score interval of Wilson (1927).

    With p = successes / n and z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). It stays inside [0, 1] and
    keeps a width where all or none succeeded. Raises `ValueError` unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in [0, n], got {successes} of {n}")
    if n == 0:
        return nothing(0, n_failed)
    low, high = _wilson(successes / n, n, Z95)
    return Metric(value=successes / n, low=low, high=high, n=n, n_failed=n_failed)


def _around(value: float, rows: Floats, clusters: Clusters | None) -> tuple[float | None, float | None]:
    found = clustered_means(rows[:, None], clusters)
    if found.clusters < 2:
        return None, None
    half = student_t(found.clusters - 1) * math.sqrt(float(found.covariance[0, 0]))
    return value - half, value + half


def _bootstrapped(sums: Floats, seed: int) -> tuple[float, float]:
    draws = resampled_sums(sums, seed)
    return percentiles(draws[:, 0] / draws[:, 1], len(sums))


def independent(possible: float, variance: float, clusters: int) -> float:
    """How many independent rows, of that variance each, would have a mean as uncertain as one of `variance` over clusters."""
    if possible <= 0:
        return float(clusters)
    most = (clusters / Z95) ** 2
    return min(possible / variance, most) if variance > 0 else most


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    z2 = z * z
    center = share + z2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    scale = 1 + z2 / n
    # The bounds at 0 and n successes are exactly 0 and 1; rounding would leave them a hair inside or outside.
    low = 0.0 if share == 0 else (center - spread) / scale
    high = 1.0 if share == 1 else (center + spread) / scale
    return low, high
