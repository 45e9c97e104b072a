"""The difference between the means of two separate groups of rows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace

from trimtab.stats.clusters import exact_mean, lookup_clusters, require_finite, undefined_metric
from trimtab.stats.means import mean
from trimtab.types import Metric


def group_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    clusters: Mapping[str, Hashable] | None = None,
    seed: int = 0,
) -> Metric:
    """The mean of `first` minus the mean of `second`, for values by id of different rows.

    The interval is that of `mean` over the rows' influences on the difference (Efron & Tibshirani 1993, chapter 22): the
    residual of each row from the mean of its own group, times n √(g / (g - 1)) / g for a group of g of all n rows, and times
    -1 in the second group. Without clusters, their variance over n is s₁²/g₁ + s₂²/g₂, as in Welch's test. Groups have fixed
    sizes, so the distance of their means from zero adds no width. Undefined if a group is empty; no interval if one has a
    single row. Raises `ValueError` if a row is in both groups.
    """
    if shared := first.keys() & second.keys():
        raise ValueError(f"group_difference: {len(shared)} rows are in both groups, for example {min(shared)}")
    n = len(first) + len(second)
    if not first or not second:
        return undefined_metric(n)
    groups = [require_finite(list(group.values()), name) for group, name in ((first, "first"), (second, "second"))]
    means = [exact_mean(group) for group in groups]
    value = means[0] - means[1]
    if min(map(len, groups)) < 2:
        return Metric(value=value, low=None, high=None, n=n)
    influences: list[float] = []
    for group, group_mean, sign in zip(groups, means, (1, -1), strict=True):
        scale = sign * n * math.sqrt(len(group) / (len(group) - 1)) / len(group)
        influences += [value + scale * residual for residual in group - group_mean]
    metric = mean(influences, seed=seed, clusters=lookup_clusters([*first, *second], clusters))
    return replace(metric, value=value)
