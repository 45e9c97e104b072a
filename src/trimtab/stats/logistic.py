"""Logistic regression on probabilities, without regularization.

scikit-learn's LogisticRegression takes class labels only and has no unique solution for collinear columns.
"""

from __future__ import annotations

import numpy as np

from trimtab.stats.clusters import FloatArray

_MAX_STEPS = 100
_TOLERANCE = 1e-10


def fit_logistic_regression(rows: FloatArray, targets: FloatArray) -> FloatArray:
    """The maximum-likelihood weights w of sigmoid(rows @ w) for targets in [0, 1], by Newton's method with step halving.

    `rows` has shape (n, weights). If the solution is not unique, as with equal rows, it is the one with the smallest norm.
    """
    weights = np.zeros(rows.shape[1])
    for _ in range(_MAX_STEPS):
        p = sigmoid(rows @ weights)
        gradient = rows.T @ (p - targets)
        if np.abs(gradient).max() <= _TOLERANCE * len(rows):
            break
        step = np.linalg.lstsq((rows * (p * (1 - p))[:, None]).T @ rows, gradient, rcond=None)[0]
        loss = _cross_entropy(rows @ weights, targets)
        while _cross_entropy(rows @ (weights - step), targets) > loss + _TOLERANCE:
            step = step / 2
        weights = weights - step
    return weights


def sigmoid(logits: FloatArray) -> FloatArray:
    from scipy.special import expit

    p: FloatArray = expit(logits)
    return p


def _cross_entropy(logits: FloatArray, targets: FloatArray) -> float:
    return float((np.logaddexp(0.0, logits) - targets * logits).sum())
