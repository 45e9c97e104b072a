"""Rows as numbers: checked at the door, averaged exactly, summed by cluster."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.types import Metric

FloatArray = NDArray[np.float64]
ClusterIds = Sequence[Hashable]


def require_finite(values: Sequence[float], name: str) -> FloatArray:
    """The values as an array. Raises `ValueError` that names the first that is not finite."""
    rows = np.asarray(values, dtype=np.float64)
    if not np.isfinite(rows).all():
        first = int(np.flatnonzero(~np.isfinite(rows))[0])
        raise ValueError(f"{name}[{first}] must be a finite number, got {rows[first]}")
    return rows


def exact_mean(rows: FloatArray) -> float:
    # math.fsum is exact, so the order of the rows cannot change the last digit.
    return math.fsum(rows) / len(rows)


def undefined_metric(n: int = 0, n_failed: int = 0) -> Metric:
    """A figure that is undefined on these rows."""
    return Metric(value=None, low=None, high=None, n=n, n_failed=n_failed)


def lookup_clusters(keys: Iterable[str], clusters: Mapping[str, Hashable] | None) -> ClusterIds | None:
    """The clusters of these ids, in their order. Raises `KeyError` for an id that has none."""
    return None if clusters is None else [clusters[key] for key in keys]


def sum_by_cluster(columns: FloatArray, clusters: ClusterIds | None) -> FloatArray:
    """Column sums of each cluster's rows, and as a last column their number: (n, k) to (clusters, k + 1).

    Clusters stand in order of first appearance; without `clusters` every row is its own. Raises `ValueError` where there is
    not one cluster a row.
    """
    counted = np.column_stack([columns, np.ones(len(columns))])
    if clusters is None:
        return counted
    if len(clusters) != len(columns):
        raise ValueError(f"clusters: {len(clusters)} of them for {len(columns)} values")
    place: dict[Hashable, int] = {}
    which = np.array([place.setdefault(cluster, len(place)) for cluster in clusters], dtype=np.intp)
    return np.stack([np.bincount(which, weights=column, minlength=len(place)) for column in counted.T], axis=1)
