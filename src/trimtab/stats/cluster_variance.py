"""Closed-form covariance of means over clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, sum_by_cluster


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusteredMeans:
    """Column means, (k,), the covariance of these means, (k, k), and the number of clusters behind it."""

    values: FloatArray
    covariance: FloatArray
    n_clusters: int


def estimate_clustered_means(columns: FloatArray, clusters: ClusterIds | None) -> ClusteredMeans:
    """The means of the columns of (n, k), n >= 1, and their covariance, which needs at least two clusters.

    A mean is a ratio of sums, so its covariance is G/(G-1) Σ e eᵀ / n² over G clusters, with e a cluster's sum minus its number
    of rows times the mean (Cochran 1977, section 2.11). It is NaN for a single cluster.
    """
    sums = sum_by_cluster(columns, clusters)
    n, n_clusters = len(columns), len(sums)
    means = sums[:, :-1].sum(axis=0) / n
    residuals = sums[:, :-1] - sums[:, -1:] * means
    if n_clusters < 2:
        undefined = np.full((columns.shape[1],) * 2, np.nan)
        return ClusteredMeans(values=means, covariance=undefined, n_clusters=n_clusters)
    covariance = n_clusters / (n_clusters - 1) * np.einsum("ci,cj->ij", residuals, residuals) / n**2
    return ClusteredMeans(values=means, covariance=covariance, n_clusters=n_clusters)
