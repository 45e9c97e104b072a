"""Metrics over several seeds of the training or of the split."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trimtab.stats.clusters import (
    FloatArray,
    exact_mean,
    lookup_clusters,
    require_finite,
    sum_by_cluster,
    undefined_metric,
)
from trimtab.stats.permutation_test import widen_to_null_unless_significant
from trimtab.stats.quantiles import chi_square_quantile, student_t_quantile
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSummary:
    """The mean over runs that differ only in a seed, and the standard deviation between them. In both, `n` is the number of
    seeds."""

    mean: Metric
    std: Metric

    @property
    def variance(self) -> Metric:
        """The square of the standard deviation and of its interval's ends."""
        low, value, high = (None if x is None else x * x for x in (self.std.low, self.std.value, self.std.high))
        return replace(self.std, value=value, low=low, high=high)


def summarize_seeds(values: Sequence[float], *, n_failed: int = 0) -> SeedSummary:
    """One value per seed: the mean with Student's t interval, and the standard deviation with the chi-square interval.

    The interval covers other seeds on the same rows; other rows would add variance. Both intervals assume a normal
    distribution over seeds. A single seed has a mean without an interval, and no standard deviation.
    """
    array = require_finite(values, "values")
    n = len(array)
    if not n:
        return SeedSummary(mean=undefined_metric(0, n_failed), std=undefined_metric(0, n_failed))
    value = exact_mean(array)
    if n == 1:
        mean = Metric(value=value, low=None, high=None, n=1, n_failed=n_failed)
        return SeedSummary(mean=mean, std=undefined_metric(1, n_failed))
    std = float(array.std(ddof=1))
    half_width = student_t_quantile(n - 1) * std / math.sqrt(n)
    low, high = (std * math.sqrt((n - 1) / chi_square_quantile(tail, n - 1)) for tail in (0.975, 0.025))
    return SeedSummary(
        mean=Metric(value=value, low=value - half_width, high=value + half_width, n=n, n_failed=n_failed),
        std=Metric(value=std, low=low, high=high, n=n, n_failed=n_failed),
    )


def mean_over_seeds_and_rows(
    runs: Sequence[Mapping[str, float]],
    *,
    clusters: Mapping[str, Hashable] | None = None,
    differences: bool = False,
) -> Metric:
    """The mean over all runs and rows, with an interval that covers other seeds and other rows at once.

    Each of `runs` holds the values of one seed by id, such as differences to the SFT row of the same seed. `n` counts the rows
    present in all runs, `n_failed` the others. The variance is that of two crossed random effects (Searle, Casella & McCulloch
    1992): of the seed means, plus of the row means over their `clusters`, minus the interaction, which both include; at least
    the larger of the two. Student's degrees of freedom are Satterthwaite's (1946), rounded down. There is no interval for
    fewer than two seeds or two clusters. With `differences` between two arms, the interval is widened to zero if the exact
    test over clusters has p > 0.05, as in `paired_difference`.
    """
    ids = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    n_failed = len(set().union(*runs)) - len(ids)
    if not ids:
        return undefined_metric(0, n_failed)
    columns = [require_finite([run[key] for key in ids], f"runs[{index}]") for index, run in enumerate(runs)]
    table = np.stack(columns, axis=1)
    value = exact_mean(table.ravel())
    sums = sum_by_cluster(table, lookup_clusters(ids, clusters))
    if min(len(runs), len(sums)) < 2:
        return Metric(value=value, low=None, high=None, n=len(ids), n_failed=n_failed)
    half_width = _interval_half_width(sums, len(ids))
    metric = Metric(value=value, low=value - half_width, high=value + half_width, n=len(ids), n_failed=n_failed)
    return widen_to_null_unless_significant(metric, sums[:, :-1].sum(axis=1)) if differences else metric


def _interval_half_width(sums: FloatArray, n: int) -> float:
    """From the sums of each cluster by seed, with the number of its rows as last column."""
    n_clusters, n_seeds = len(sums), sums.shape[1] - 1
    seed_means = sums[:, :-1].sum(axis=0) / n
    v_seeds = float(seed_means.var(ddof=1)) / n_seeds
    # residual cluster sums after subtracting each seed's mean, then the part that all seeds share
    residuals = sums[:, :-1] - sums[:, -1:] * seed_means
    shared = residuals.mean(axis=1)
    scale = n_clusters / (n_clusters - 1) / n**2
    v_rows = scale * float(shared @ shared)
    interaction = residuals - shared[:, None]
    v_interaction = scale * float((interaction**2).sum()) / (n_seeds * (n_seeds - 1))
    variance = max(v_seeds + v_rows - v_interaction, v_seeds, v_rows)
    if variance == 0:
        return 0.0
    df = variance**2 / (v_seeds**2 / (n_seeds - 1) + v_rows**2 / (n_clusters - 1))
    return student_t_quantile(max(1, math.floor(df))) * math.sqrt(variance)
