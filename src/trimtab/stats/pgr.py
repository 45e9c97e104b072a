"""How much of the gap between weak labels and human ones a student closes."""

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
    """Performance gap recovered, (student - weak) / |ceiling - weak| (Burns et al. 2023, section 3; Li et al. 2025, eq. 4),
    paired by id.

    0 is a student no better than its weak labeler, 1 one as good as with human labels; it may leave [0, 1]. Where human
    labels do harm, and the ceiling lies below the weak labeler, the ceiling itself is at -1. A ratio over a gap that may be
    zero says nothing: the figure is undefined, its value None, where the interval of ceiling - weak touches zero. The
    interval is Fieller's (1954): every ratio ρ for which gain - ρ gap is not told from zero, with Student's t and the
    covariance over `clusters`, which give each id's. It is bounded exactly where the gap's own interval leaves out zero.
    `n_failed` counts the ids that not all three have.
    """
    common = sorted(weak.keys() & student.keys() & ceiling.keys())
    n_failed = len(weak.keys() | student.keys() | ceiling.keys()) - len(common)
    base = require_finite([weak[key] for key in common], "weak")
    gain = require_finite([student[key] for key in common], "student") - base
    gap = require_finite([ceiling[key] for key in common], "ceiling") - base
    if len(common) < 2:
        return undefined_metric(len(common), n_failed)
    bounds = _fieller_interval(
        estimate_clustered_means(np.stack([gain, gap], axis=1), lookup_clusters(common, clusters))
    )
    if bounds is None:
        return undefined_metric(len(common), n_failed)
    # Fieller's bounds are those of gain / gap; of gain / |gap| where the gap is negative they are mirrored.
    low, high = bounds if exact_mean(gap) > 0 else (-bounds[1], -bounds[0])
    value = exact_mean(gain) / abs(exact_mean(gap))
    return Metric(value=value, low=min(low, value), high=max(high, value), n=len(common), n_failed=n_failed)


def _fieller_interval(means: ClusteredMeans) -> tuple[float, float] | None:
    """The interval of the first mean over the second, or None where that of the second holds zero."""
    if means.n_clusters < 2:
        return None
    (top, bottom), t2 = (float(each) for each in means.values), student_t_quantile(means.n_clusters - 1) ** 2
    (v_top, v_both), (_, v_bottom) = means.covariance.tolist()
    # ρ is held where (top - ρ bottom)² <= t² (v_top - 2 ρ v_both + ρ² v_bottom): a parabola in ρ, a ρ² - 2 b ρ + c <= 0.
    a, b, c = bottom**2 - t2 * v_bottom, top * bottom - t2 * v_both, top**2 - t2 * v_top
    if a <= 0:
        return None
    reach = math.sqrt(max(0.0, b * b - a * c))
    return (b - reach) / a, (b + reach) / a
