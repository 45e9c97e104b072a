"""Length-controlled win rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, require_finite, sum_by_cluster, undefined_metric
from trimtab.stats.logistic import fit_logistic_regression, sigmoid
from trimtab.stats.quantiles import Z95, student_t_quantile
from trimtab.stats.win_rate import score_valid_outcomes
from trimtab.types import Metric, Outcome


def length_controlled_win_rate(
    outcomes: Sequence[Outcome], length_differences: Sequence[float], *, clusters: ClusterIds | None = None
) -> Metric:
    """The expected win rate if both responses were equally long, after Dubois et al. (2024).

    `length_differences` are candidate minus baseline length, one per comparison, in any unit. Points (1, 1/2, 0) are regressed
    on tanh(difference / standard deviation) with logistic regression; the result is the sigmoid of the intercept. Unlike
    AlpacaEval, the model has no term for the difficulty of the instruction, which requires fits on many other models. Two
    artificial ties, one at either end of tanh, keep the estimate finite if every longer response wins (after Clogg et al.
    1991). The interval is that of the intercept, with the sandwich variance over `clusters` (Liang & Zeger 1986) and Student's
    t, mapped through the sigmoid. Its standard error is at least that of (G/z)² independent rows, with G the number of
    clusters, as in `bounded_mean`: otherwise ties only would have an interval of no width.

    Undefined for fewer than two clusters with valid outcomes, and if all differences have the same nonzero value: then length
    and quality cannot be separated.
    """
    if len(length_differences) != len(outcomes):
        raise ValueError(f"length_differences: got {len(length_differences)} for {len(outcomes)} outcomes")
    points, groups = score_valid_outcomes(outcomes, clusters)
    differences = require_finite(length_differences, "length_differences")
    valid = differences[[outcome != "failed" for outcome in outcomes]]
    n_failed = len(outcomes) - len(points)
    if not points or (np.ptp(valid) == 0 and valid[0] != 0):
        return undefined_metric(len(points), n_failed)
    x = np.tanh(valid / valid.std()) if valid.any() else valid
    intercept, error, n_clusters = _fit_intercept(x, np.array(points), groups)
    if n_clusters < 2:
        return undefined_metric(len(points), n_failed)
    p = 1 / (1 + math.exp(-intercept))
    error = max(error, Z95 / (n_clusters * math.sqrt(p * (1 - p))))
    t95 = student_t_quantile(n_clusters - 1)
    low, value, high = (1 / (1 + math.exp(-(intercept + t * error))) for t in (-t95, 0.0, t95))
    return Metric(value=value, low=low, high=high, n=len(points), n_failed=n_failed)


def _fit_intercept(x: FloatArray, points: FloatArray, clusters: ClusterIds | None) -> tuple[float, float, int]:
    """The intercept, its standard error and the number of clusters."""
    n = len(x)
    design = np.stack([np.ones(n + 2), np.append(x, [-1.0, 1.0])], axis=1)
    targets = np.append(points, [0.5, 0.5])
    weights = fit_logistic_regression(design, targets)
    p = sigmoid(design @ weights)
    scores = design * (targets - p)[:, None]
    observed = sum_by_cluster(scores[:n], clusters)[:, :-1]
    cluster_scores = np.concatenate([observed, scores[n:]])
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
    meat = cluster_scores.T @ cluster_scores * (len(cluster_scores) / (len(cluster_scores) - 1))
    return float(weights[0]), math.sqrt((bread @ meat @ bread)[0, 0]), len(observed)
