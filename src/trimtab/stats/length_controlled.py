"""A win rate that being longer does not buy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, require_finite, sum_by_cluster, undefined_metric
from trimtab.stats.logistic import fit_logistic_regression, sigmoid
from trimtab.stats.quantiles import student_t_quantile
from trimtab.stats.win_rate import Outcome, score_valid_outcomes
from trimtab.types import Metric


def length_controlled_win_rate(
    outcomes: Sequence[Outcome], length_differences: Sequence[float], *, clusters: ClusterIds | None = None
) -> Metric:
    """The win rate to be expected were both answers equally long, after Dubois et al. (2024).

    `length_differences` are our length minus theirs, one a comparison, in any unit. A logistic regression of points (1, 1/2, 0)
    on tanh(difference / standard deviation) is read at a difference of zero: sigmoid of its intercept. Unlike AlpacaEval's,
    the model has no term for the instruction's difficulty, which takes fits on many other models. Two made-up ties, one at
    either end of tanh, keep it finite where every longer answer wins (after Clogg et al. 1991). The interval is that of the
    intercept, with the sandwich variance over `clusters` (Liang & Zeger 1986) and Student's t, carried through the sigmoid.

    Undefined where fewer than two clusters were judged, and where all differences are one and the same but not zero: then
    what length does cannot be told from who is better.
    """
    if len(length_differences) != len(outcomes):
        raise ValueError(f"length_differences: {len(length_differences)} of them for {len(outcomes)} outcomes")
    points, groups = score_valid_outcomes(outcomes, clusters)
    every = require_finite(length_differences, "length_differences")
    longer = every[[outcome != "failed" for outcome in outcomes]]
    n_failed = len(outcomes) - len(points)
    if not points or (np.ptp(longer) == 0 and longer[0] != 0):
        return undefined_metric(len(points), n_failed)
    x = np.tanh(longer / longer.std()) if longer.any() else longer
    intercept, error, n_clusters = _fit_intercept(x, np.array(points), groups)
    if n_clusters < 2:
        return undefined_metric(len(points), n_failed)
    low, value, high = (
        1 / (1 + math.exp(-(intercept + t * error)))
        for t in (-student_t_quantile(n_clusters - 1), 0.0, student_t_quantile(n_clusters - 1))
    )
    return Metric(value=value, low=low, high=high, n=len(points), n_failed=n_failed)


def _fit_intercept(x: FloatArray, points: FloatArray, clusters: ClusterIds | None) -> tuple[float, float, int]:
    """The intercept, its standard error and the number of clusters."""
    n = len(x)
    rows = np.stack([np.ones(n + 2), np.append(x, [-1.0, 1.0])], axis=1)
    targets = np.append(points, [0.5, 0.5])
    weights = fit_logistic_regression(rows, targets)
    p = sigmoid(rows @ weights)
    scores = rows * (targets - p)[:, None]
    real = sum_by_cluster(scores[:n], clusters)[:, :-1]
    every = np.concatenate([real, scores[n:]])
    bread = np.linalg.inv((rows * (p * (1 - p))[:, None]).T @ rows)
    meat = every.T @ every * (len(every) / (len(every) - 1))
    return float(weights[0]), math.sqrt((bread @ meat @ bread)[0, 0]), len(real)
