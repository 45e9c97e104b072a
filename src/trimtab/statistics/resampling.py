"""The clustered bootstrap (Efron 1979) of figures that are functions of sums, as means, ratios and kappas are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from trimtab.statistics.quantiles import normal_cdf, student_t
from trimtab.statistics.rows import Floats

RESAMPLES = 10_000
# Up to here distinct rows are drawn by how often each occurs; past here rows are drawn in groups.
_KINDS = 64
_GROUPS = 2_000
_DRAWS_PER_SLICE = 1 << 20


def resampled_sums(columns: Floats, seed: int) -> Floats:
    """Column sums of `RESAMPLES` draws of clusters with replacement: (clusters, columns) to (RESAMPLES, columns).

    What is computed from them must not change when all sums grow alike. Clusters are put in order first, so that the one in
    which they came changes nothing. Where few differ, as with rights and wrongs, a draw is how many it has of each kind. More
    than 2,000 different ones are put at random into 2,000 groups, and groups are drawn: the sums keep their expected spread
    and skew, and the width of an interval varies by another 2 % with the seed.
    """
    rng = np.random.default_rng(seed)
    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    if len(kinds) <= _KINDS:
        drawn = rng.multinomial(len(columns), counts / len(columns), size=RESAMPLES)
        return np.stack([(drawn * kind).sum(axis=1) for kind in kinds.T], axis=1)
    rows = np.repeat(kinds, counts, axis=0)
    if len(rows) > _GROUPS:
        group = rng.permutation(len(rows)) % _GROUPS
        rows = np.stack([np.bincount(group, weights=column) for column in rows.T], axis=1)
    parts = [_drawn(rows, draws, rng) for draws in _slices(len(rows))]
    return np.concatenate(parts)


def percentiles(draws: Floats, clusters: int) -> tuple[float, float]:
    """The expanded percentile interval of a figure's draws (Hesterberg 2015, section 4.3).

    Plain percentiles are too narrow by √((n-1)/n), for resamples vary about their own mean, and by the normal quantile where
    Student's is due: with 15 clusters they hold the truth 92 times in 100. Those taken here are at Φ(∓ √(n/(n-1)) t), with t
    that of n - 1 degrees of freedom.
    """
    tail = normal_cdf(-math.sqrt(clusters / (clusters - 1)) * student_t(clusters - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _drawn(rows: Floats, draws: int, rng: np.random.Generator) -> Floats:
    which = rng.integers(len(rows), size=(draws, len(rows)))
    return np.stack([column[which].sum(axis=1) for column in rows.T], axis=1)


def _slices(n: int) -> Iterator[int]:
    """Numbers of resamples that together make `RESAMPLES`, each small enough to hold in memory."""
    step = max(1, _DRAWS_PER_SLICE // n)
    for start in range(0, RESAMPLES, step):
        yield min(step, RESAMPLES - start)
