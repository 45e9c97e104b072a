"""Prediction-powered inference: a mean from a few labels and many predictions."""

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
    """The prediction-powered mean (Angelopoulos et al. 2023, section 2): λ mean(unlabeled) + mean(labels - λ predictions).

    `predictions` are for the rows of `labels`; `unlabeled` are predictions for other rows from the same distribution. The
    estimate is unbiased for any predictions; better predictions give a narrower interval. λ is 1, or with `tune_weight` the
    value in [0, 1] with the least variance (PPI++, Angelopoulos, Duchi & Zrnic 2023, section 6), so the interval is never much
    wider than one from the labels alone. The variance is that of both means over `clusters`, with Student's t for the labeled
    clusters. `n` counts the labels. There is no interval if either side has fewer than two clusters.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"predictions: got {len(predictions)} for {len(labels)} labels")
    label, prediction = require_finite(labels, "labels"), require_finite(predictions, "predictions")
    other = require_finite(unlabeled, "unlabeled")
    if not len(label) or not len(other):
        return undefined_metric(len(label), n_failed)
    labeled_means = estimate_clustered_means(np.stack([label, prediction], axis=1), clusters)
    unlabeled_means = estimate_clustered_means(other[:, None], unlabeled_clusters)
    if min(labeled_means.n_clusters, unlabeled_means.n_clusters) < 2:
        value = _estimate(labeled_means.values.tolist(), float(unlabeled_means.values[0]), 1.0)
        return Metric(value=value, low=None, high=None, n=len(label), n_failed=n_failed)
    (v_label, covariance), (_, v_prediction) = labeled_means.covariance.tolist()
    v_unlabeled = float(unlabeled_means.covariance[0, 0])
    weight = _optimal_weight(covariance, v_prediction + v_unlabeled) if tune_weight else 1.0
    value = _estimate(labeled_means.values.tolist(), float(unlabeled_means.values[0]), weight)
    variance = v_label - 2 * weight * covariance + weight**2 * (v_prediction + v_unlabeled)
    half_width = student_t_quantile(labeled_means.n_clusters - 1) * math.sqrt(max(0.0, variance))
    return Metric(value=value, low=value - half_width, high=value + half_width, n=len(label), n_failed=n_failed)


def _estimate(labeled: Sequence[float], unlabeled: float, weight: float) -> float:
    label, prediction = labeled
    return weight * unlabeled + label - weight * prediction


def _optimal_weight(covariance: float, v_predictions: float) -> float:
    """The λ in [0, 1] that minimizes v_label - 2 λ covariance + λ² v_predictions; 0 if the predictions are constant."""
    return min(1.0, max(0.0, covariance / v_predictions)) if v_predictions > 0 else 0.0
