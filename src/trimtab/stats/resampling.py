"""The clustered bootstrap (Efron 1979) of figures that are functions of sums, as means, ratios and kappas are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trimtab.stats.clusters import FloatArray
from trimtab.stats.quantiles import normal_cdf, student_t_quantile

N_RESAMPLES = 10_000
# With fewer clusters a bootstrap's outermost draws stand for its tails: with five it holds the truth 92 times in 100,
# with three 76.
MIN_BOOTSTRAP_CLUSTERS = 10
# Up to here distinct rows are drawn by how often each occurs; past here rows are drawn in groups.
_MAX_DISTINCT_ROWS = 64
_MAX_RESAMPLED_GROUPS = 2_000
# So many random numbers are drawn at a time, and so many resamples are summed: what fits a processor's cache.
_RANDOM_NUMBERS_PER_BATCH = 1 << 20
_RESAMPLES_PER_BATCH = 64

DrawCounts = NDArray[np.uint8]


def resample_sums(columns: FloatArray, seed: int) -> FloatArray:
    """Column sums of `RESAMPLES` draws of clusters with replacement: (clusters, columns) to (RESAMPLES, columns).

    What is computed from them must not change when all sums grow alike. Clusters are put in order first, so that the one in
    which they came changes nothing. Where few differ, as with rights and wrongs, a draw is how many it has of each kind. More
    than 2,000 different ones are put at random into 2,000 groups, and groups are drawn: the sums keep their expected spread
    and skew, and the width of an interval varies by another 2 % with the seed. Figures over as many clusters share their draws.
    """
    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    if len(kinds) <= _MAX_DISTINCT_ROWS:
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(len(columns), counts / len(columns), size=N_RESAMPLES)
        return np.stack([(drawn * kind).sum(axis=1) for kind in kinds.T], axis=1)
    rows = np.repeat(kinds, counts, axis=0)
    if len(rows) > _MAX_RESAMPLED_GROUPS:
        # from another stream than the draws
        group = np.random.default_rng((seed, len(rows))).permutation(len(rows)) % _MAX_RESAMPLED_GROUPS
        rows = np.stack([np.bincount(group, weights=column) for column in rows.T], axis=1)
    return _sum_draws(_draw_counts(len(rows), N_RESAMPLES, seed), rows)


def percentile_interval(draws: FloatArray, clusters: int) -> tuple[float, float]:
    """The expanded percentile interval of a figure's draws (Hesterberg 2015, section 4.3).

    Plain percentiles are too narrow by √((n-1)/n), for resamples vary about their own mean, and by the normal quantile where
    Student's is due: with 15 clusters they hold the truth 92 times in 100. Those taken here are at Φ(∓ √(n/(n-1)) t), with t
    that of n - 1 degrees of freedom.
    """
    tail = normal_cdf(-math.sqrt(clusters / (clusters - 1)) * student_t_quantile(clusters - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=4)
def _draw_counts(n: int, resamples: int, seed: int) -> DrawCounts:
    """How often each of `n` rows is drawn: (resamples, n). A byte holds it: 256 of one row have a chance of 1e-507.

    Drawing takes ten times as long as summing, and a report has a hundred figures over the same rows.
    """
    rng = np.random.default_rng(seed)
    found = np.empty((resamples, n), dtype=np.uint8)
    for part in _iter_slices(resamples, max(1, _RANDOM_NUMBERS_PER_BATCH // n)):
        some = found[part]
        which = rng.integers(n, size=some.shape) + n * np.arange(len(some))[:, None]
        some[:] = np.bincount(which.ravel(), minlength=some.size).reshape(some.shape)
    found.flags.writeable = False
    return found


def _sum_draws(counts: DrawCounts, rows: FloatArray) -> FloatArray:
    """Column sums of each draw. Not by a matrix product, whose last digits depend on the number of threads."""
    sums = np.empty((len(counts), rows.shape[1]))
    columns = [np.ascontiguousarray(column) for column in rows.T]
    for part in _iter_slices(len(counts), _RESAMPLES_PER_BATCH):
        some = counts[part].astype(np.float64)
        for place, column in enumerate(columns):
            sums[part, place] = np.einsum("dn,n->d", some, column)
    return sums


def _iter_slices(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
