"""How much means vary from one draw of clusters to the next, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, sum_by_cluster


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusteredMeans:
    """Column means of rows, (k,), the covariance (k, k) of these means, and the number of clusters that it rests on."""

    values: FloatArray
    covariance: FloatArray
    n_clusters: int


def estimate_clustered_means(columns: FloatArray, clusters: ClusterIds | None) -> ClusteredMeans:
    """The means of the columns of (n, k) with n >= 1, and their covariance, for at least two clusters.

    A mean is a ratio of sums, so its covariance is G/(G-1) Σ e eᵀ / n² over the G clusters, e being what a cluster's sum
    exceeds its number of rows times the mean by (Cochran 1977, section 2.11). It is all nan for a single cluster.
    """
    sums = sum_by_cluster(columns, clusters)
    n, groups = len(columns), len(sums)
    means = sums[:, :-1].sum(axis=0) / n
    excess = sums[:, :-1] - sums[:, -1:] * means
    if groups < 2:
        return ClusteredMeans(values=means, covariance=np.full((columns.shape[1],) * 2, np.nan), n_clusters=groups)
    covariance = groups / (groups - 1) * np.einsum("ci,cj->ij", excess, excess) / n**2
    return ClusteredMeans(values=means, covariance=covariance, n_clusters=groups)
