"""The clustered bootstrap (Efron 1979) for metrics that are functions of sums, such as means, ratios and kappas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trimtab.stats.clusters import FloatArray
from trimtab.stats.quantiles import normal_cdf, student_t_quantile

N_RESAMPLES = 10_000
# With fewer clusters, the extreme resamples determine the tails: with five, the interval covers the true value in 92 of 100
# cases, with three in 76.
MIN_BOOTSTRAP_CLUSTERS = 10
# Up to this number of distinct rows, their counts are sampled from a multinomial; above it, rows are sampled in groups.
_MAX_DISTINCT_ROWS = 64
_MAX_RESAMPLED_GROUPS = 2_000
# Batch sizes for sampling and summing that fit a CPU cache.
_RANDOM_NUMBERS_PER_BATCH = 1 << 20
_RESAMPLES_PER_BATCH = 64

DrawCounts = NDArray[np.uint8]


def resample_sums(columns: FloatArray, seed: int) -> FloatArray:
    """Column sums of `N_RESAMPLES` samples of clusters with replacement: (clusters, columns) to (N_RESAMPLES, columns).

    Metrics computed from them must not change if all sums are scaled. Clusters are sorted first, so their input order does not
    matter. If few rows are distinct, as with outcomes, the counts of each distinct row are sampled. More than 2,000 distinct
    rows are assigned at random to 2,000 groups, and groups are sampled: the sums keep their expected variance and skew, and
    the interval width varies by another 2% with the seed. Metrics over the same number of clusters share their samples.
    """
    distinct, counts = np.unique(columns, axis=0, return_counts=True)
    if len(distinct) <= _MAX_DISTINCT_ROWS:
        samples = _draw_distinct_counts(tuple(counts.tolist()), N_RESAMPLES, seed)
        return np.stack([(samples * column).sum(axis=1) for column in distinct.T], axis=1)
    rows = np.repeat(distinct, counts, axis=0)
    if len(rows) > _MAX_RESAMPLED_GROUPS:
        # a random stream independent of the resamples
        group = np.random.default_rng((seed, len(rows))).permutation(len(rows)) % _MAX_RESAMPLED_GROUPS
        rows = np.stack([np.bincount(group, weights=column) for column in rows.T], axis=1)
    return _sum_draws(_draw_counts(len(rows), N_RESAMPLES, seed), rows)


def percentile_interval(draws: FloatArray, clusters: int) -> tuple[float, float]:
    """The expanded percentile interval of bootstrap values (Hesterberg 2015, section 4.3).

    Plain percentiles are too narrow by √((n-1)/n), because resamples vary around their own mean, and because they imply the
    normal instead of Student's quantile: with 15 clusters they cover the true value in 92 of 100 cases. The percentiles used
    are Φ(∓ √(n/(n-1)) t), with t the quantile for n - 1 degrees of freedom.
    """
    tail = normal_cdf(-math.sqrt(clusters / (clusters - 1)) * student_t_quantile(clusters - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=4)
def _draw_counts(n: int, resamples: int, seed: int) -> DrawCounts:
    """How often each of `n` rows is sampled: (resamples, n). One byte is enough: a count of 256 has a probability of 1e-507.

    Cached, because sampling takes ten times as long as summing, and a report has a hundred metrics over the same rows.
    """
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, n), dtype=np.uint8)
    for batch in _iter_slices(resamples, max(1, _RANDOM_NUMBERS_PER_BATCH // n)):
        part = counts[batch]
        indices = rng.integers(n, size=part.shape) + n * np.arange(len(part))[:, None]
        part[:] = np.bincount(indices.ravel(), minlength=part.size).reshape(part.shape)
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=32)
def _draw_distinct_counts(counts: tuple[int, ...], resamples: int, seed: int) -> NDArray[np.unsignedinteger]:
    """How often each distinct row is sampled if the rows occur `counts` times: (resamples, rows).

    Cached, because many metrics of a small test set have as many distinct values as rows.
    """
    n = sum(counts)
    draws = np.random.default_rng(seed).multinomial(n, np.array(counts) / n, size=resamples)
    samples = draws.astype(np.min_scalar_type(n))
    samples.flags.writeable = False
    return samples


def _sum_draws(counts: DrawCounts, rows: FloatArray) -> FloatArray:
    """Column sums of each resample. Avoids a matrix product, whose last digits depend on the number of threads."""
    sums = np.empty((len(counts), rows.shape[1]))
    columns = [np.ascontiguousarray(column) for column in rows.T]
    for batch in _iter_slices(len(counts), _RESAMPLES_PER_BATCH):
        part = counts[batch].astype(np.float64)
        for index, column in enumerate(columns):
            sums[batch, index] = np.einsum("dn,n->d", part, column)
    return sums


def _iter_slices(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
