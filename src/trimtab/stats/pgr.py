"""Performance gap recovered."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import numpy as np

from trimtab.stats.cluster_variance import ClusteredMeans, estimate_clustered_means
from trimtab.stats.clusters import exact_mean, lookup_clusters, require_finite, undefined_metric
from trimtab.stats.quantiles import student_t_quantile
from trimtab.types import Metric


def performance_gap_recovered(
    weak: Mapping[str, float],
    student: Mapping[str, float],
    ceiling: Mapping[str, float],
    *,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """(student - weak) / |ceiling - weak| on values paired by id (Burns et al. 2023, section 3; Li et al. 2025, eq. 4).

    0 is a student no better than its weak labeler, 1 a student as good as one trained on human labels; values outside [0, 1]
    are possible. If human labels are harmful, and the ceiling is below the weak labeler, the ceiling is at -1. The metric is
    undefined (None) if the interval of ceiling - weak includes zero, because a ratio over a gap that may be zero is
    meaningless. The interval is Fieller's (1954): all ratios ρ for which gain - ρ gap is not significantly different from
    zero, with Student's t and the covariance over `clusters`, which gives the cluster of each id. It is bounded exactly if the
    gap's own interval excludes zero. `n_failed` counts the ids missing from at least one of the three.
    """
    common = sorted(weak.keys() & student.keys() & ceiling.keys())
    n_failed = len(weak.keys() | student.keys() | ceiling.keys()) - len(common)
    base = require_finite([weak[key] for key in common], "weak")
    gain = require_finite([student[key] for key in common], "student") - base
    gap = require_finite([ceiling[key] for key in common], "ceiling") - base
    if len(common) < 2:
        return undefined_metric(len(common), n_failed)
    means = estimate_clustered_means(np.stack([gain, gap], axis=1), lookup_clusters(common, clusters))
    bounds = _fieller_interval(means)
    if bounds is None:
        return undefined_metric(len(common), n_failed)
    # Fieller's bounds are those of gain / gap; the bounds of gain / |gap| for a negative gap are mirrored
    low, high = bounds if exact_mean(gap) > 0 else (-bounds[1], -bounds[0])
    value = exact_mean(gain) / abs(exact_mean(gap))
    return Metric(value=value, low=min(low, value), high=max(high, value), n=len(common), n_failed=n_failed)


def _fieller_interval(means: ClusteredMeans) -> tuple[float, float] | None:
    """The interval of the first mean over the second, or None if the interval of the second includes zero."""
    if means.n_clusters < 2:
        return None
    numerator, denominator = (float(mean) for mean in means.values)
    t2 = student_t_quantile(means.n_clusters - 1) ** 2
    (v_numerator, covariance), (_, v_denominator) = means.covariance.tolist()
    # ρ is inside if (numerator - ρ denominator)² <= t² (v_numerator - 2 ρ covariance + ρ² v_denominator), which is a parabola
    # in ρ: a ρ² - 2 b ρ + c <= 0
    a = denominator**2 - t2 * v_denominator
    b = numerator * denominator - t2 * covariance
    c = numerator**2 - t2 * v_numerator
    if a <= 0:
        return None
    root = math.sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a
