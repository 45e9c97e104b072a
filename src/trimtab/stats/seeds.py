"""What another training run would have made of it: figures over several seeds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

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
    """The mean over runs that differ in their seeds alone, and the standard deviation between them (`spread`). In both `n` is
    the number of seeds."""

    mean: Metric
    std: Metric


def summarize_seeds(values: Sequence[float], *, n_failed: int = 0) -> SeedSummary:
    """One figure from each seed: its mean with Student's t interval, its standard deviation with the chi-square interval.

    The interval speaks of other seeds on the same rows: were the rows drawn anew, more would change. Both take figures to
    be normally distributed between seeds. A single seed has a mean, no interval and no spread.
    """
    figures = require_finite(values, "values")
    n = len(figures)
    if not n:
        return SeedSummary(mean=undefined_metric(0, n_failed), std=undefined_metric(0, n_failed))
    value = exact_mean(figures)
    if n == 1:
        return SeedSummary(
            mean=Metric(value=value, low=None, high=None, n=1, n_failed=n_failed), std=undefined_metric(1, n_failed)
        )
    deviation = float(figures.std(ddof=1))
    half = student_t_quantile(n - 1) * deviation / math.sqrt(n)
    low, high = (deviation * math.sqrt((n - 1) / chi_square_quantile(tail, n - 1)) for tail in (0.975, 0.025))
    return SeedSummary(
        mean=Metric(value=value, low=value - half, high=value + half, n=n, n_failed=n_failed),
        std=Metric(value=deviation, low=low, high=high, n=n, n_failed=n_failed),
    )


def mean_over_seeds_and_rows(
    runs: Sequence[Mapping[str, float]],
    *,
    clusters: Mapping[str, Hashable] | None = None,
    differences: bool = False,
) -> Metric:
    """The mean of every run's figure of every row, with an interval for other seeds and other rows at once.

    Each of `runs` is one seed's figures by id, such as differences to the same seed's SFT. Rows that not all runs have count
    in `n_failed` alone, and `n` is the rows that they all have. The variance is that of two crossed random effects (Searle,
    Casella & McCulloch 1992): of the seeds' means, plus of the rows' means over their `clusters`, minus what both hold of
    what is particular to a row in a run; at least the larger of the two. Student's degrees of freedom are Satterthwaite's
    (1946), rounded down. There is no interval with fewer than two seeds or two clusters. That of `differences` between two arms
    reaches to zero where the exact test over clusters has p > 0.05, as in `paired_difference`.
    """
    ids = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    n_failed = len(set().union(*runs)) - len(ids)
    if not ids:
        return undefined_metric(0, n_failed)
    table = np.stack(
        [require_finite([run[key] for key in ids], f"runs[{place}]") for place, run in enumerate(runs)], axis=1
    )
    value = exact_mean(table.ravel())
    sums = sum_by_cluster(table, lookup_clusters(ids, clusters))
    if min(len(runs), len(sums)) < 2:
        return Metric(value=value, low=None, high=None, n=len(ids), n_failed=n_failed)
    half = _interval_half_width(sums, len(ids))
    found = Metric(value=value, low=value - half, high=value + half, n=len(ids), n_failed=n_failed)
    return widen_to_null_unless_significant(found, sums[:, :-1].sum(axis=1)) if differences else found


def _interval_half_width(sums: FloatArray, n: int) -> float:
    """From each cluster's sums by seed, and as a last column its number of rows."""
    groups, seeds = len(sums), sums.shape[1] - 1
    of_seeds = sums[:, :-1].sum(axis=0) / n
    v_seeds = float(of_seeds.var(ddof=1)) / seeds
    # What remains of a cluster's sum when each seed's mean is taken out, then of it what all seeds share.
    excess = sums[:, :-1] - sums[:, -1:] * of_seeds
    shared = excess.mean(axis=1)
    scale = groups / (groups - 1) / n**2
    v_rows = scale * float(shared @ shared)
    particular = excess - shared[:, None]
    v_both = scale * float((particular**2).sum()) / (seeds * (seeds - 1))
    variance = max(v_seeds + v_rows - v_both, v_seeds, v_rows)
    if variance == 0:
        return 0.0
    freedom = variance**2 / (v_seeds**2 / (seeds - 1) + v_rows**2 / (groups - 1))
    return student_t_quantile(max(1, math.floor(freedom))) * math.sqrt(variance)
