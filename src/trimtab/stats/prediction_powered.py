"""A mean told by few true values and many predictions of a cheaper judge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.stats.cluster_variance import estimate_clustered_means
from trimtab.stats.clusters import ClusterIds, require_finite, undefined_metric
from trimtab.stats.quantiles import student_t_quantile
from trimtab.types import Metric


def ppi_mean(
    labels: Sequence[float],
    predictions: Sequence[float],
    unlabeled: Sequence[float],
    *,
    tune_weight: bool = True,
    n_failed: int = 0,
    clusters: ClusterIds | None = None,
    unlabeled_clusters: ClusterIds | None = None,
) -> Metric:
    """The prediction-powered mean (Angelopoulos et al. 2023, section 2): λ mean(unlabeled) + mean(truths - λ predictions).

    `predictions` stand beside `truths`, row by row; `unlabeled` are predictions for other rows of the same kind without truths.
    However bad the predictions, the estimate stays right; the better they are, the narrower its interval. λ is 1, or where
    `tuned` the one in [0, 1] of least variance (PPI++, Angelopoulos, Duchi & Zrnic 2023, section 6), so that it is never much
    wider than that of the truths alone. The variance is that of both means over `clusters`, and Student's t that of the labeled
    clusters. `n` counts the truths. There is no interval with fewer than two clusters on either side.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"predictions: {len(predictions)} of them for {len(labels)} truths")
    true, told, rest = (
        require_finite(labels, "truths"),
        require_finite(predictions, "predictions"),
        require_finite(unlabeled, "unlabeled"),
    )
    if not len(true) or not len(rest):
        return undefined_metric(len(true), n_failed)
    labeled = estimate_clustered_means(np.stack([true, told], axis=1), clusters)
    others = estimate_clustered_means(rest[:, None], unlabeled_clusters)
    if min(labeled.n_clusters, others.n_clusters) < 2:
        value = _estimate(labeled.values.tolist(), float(others.values[0]), 1.0)
        return Metric(value=value, low=None, high=None, n=len(true), n_failed=n_failed)
    (v_true, both), (_, v_told) = labeled.covariance.tolist()
    v_rest = float(others.covariance[0, 0])
    power = _optimal_weight(both, v_told + v_rest) if tune_weight else 1.0
    value = _estimate(labeled.values.tolist(), float(others.values[0]), power)
    variance = v_true - 2 * power * both + power**2 * (v_told + v_rest)
    half = student_t_quantile(labeled.n_clusters - 1) * math.sqrt(max(0.0, variance))
    return Metric(value=value, low=value - half, high=value + half, n=len(true), n_failed=n_failed)


def _estimate(labeled: Sequence[float], others: float, weight: float) -> float:
    true, told = labeled
    return weight * others + true - weight * told


def _optimal_weight(both: float, v_predictions: float) -> float:
    """The λ that makes v_true - 2 λ both + λ² v_predictions least; 0 where predictions are constant and tell nothing."""
    return min(1.0, max(0.0, both / v_predictions)) if v_predictions > 0 else 0.0
