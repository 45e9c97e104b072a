"""Validation of input values, exact means, and sums by cluster."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.types import Metric

FloatArray = NDArray[np.float64]
# One cluster id per row.
ClusterIds = Sequence[Hashable]


def require_finite(values: Sequence[float], name: str) -> FloatArray:
    """The values as an array. Raises `ValueError` for the first value that is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name}[{first}] must be a finite number, got {array[first]}")
    return array


def exact_mean(values: FloatArray) -> float:
    # math.fsum is exact, so the result does not depend on the order of the values
    return math.fsum(values) / len(values)


def undefined_metric(n: int = 0, n_failed: int = 0) -> Metric:
    """A metric without a value, for inputs on which it is undefined."""
    return Metric(value=None, low=None, high=None, n=n, n_failed=n_failed)


def lookup_clusters(keys: Iterable[str], clusters: Mapping[str, Hashable] | None) -> ClusterIds | None:
    """The clusters of these ids, in the same order. Raises `KeyError` for an id without a cluster."""
    return None if clusters is None else [clusters[key] for key in keys]


def sum_by_cluster(columns: FloatArray, clusters: ClusterIds | None) -> FloatArray:
    """Column sums for each cluster, with the number of its rows as last column: (n, k) to (clusters, k + 1).

    Clusters are in order of first appearance. Without `clusters`, each row is its own cluster. Raises `ValueError` unless
    there is one cluster per row.
    """
    with_counts = np.column_stack([columns, np.ones(len(columns))])
    if clusters is None:
        return with_counts
    if len(clusters) != len(columns):
        raise ValueError(f"clusters: got {len(clusters)} for {len(columns)} values")
    index_of: dict[Hashable, int] = {}
    indices = np.array([index_of.setdefault(cluster, len(index_of)) for cluster in clusters], dtype=np.intp)
    sums = [np.bincount(indices, weights=column, minlength=len(index_of)) for column in with_counts.T]
    return np.stack(sums, axis=1)
