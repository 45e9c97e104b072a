"""Logistic regression of shares, without a penalty."""

from __future__ import annotations

import numpy as np

from trimtab.stats.clusters import FloatArray

_MAX_STEPS = 100
_TOLERANCE = 1e-10


def fit_logistic_regression(rows: FloatArray, targets: FloatArray) -> FloatArray:
    """The weights w for which sigmoid(rows @ w) makes the targets, in [0, 1], most likely: Newton's method with halved steps.

    `rows` has shape (n, weights). Where the rows leave a weight open, as equal ones do, it is the smallest that does.
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
    """1 / (1 + exp(-logits)), without overflow at either end."""
    small = np.exp(-np.abs(logits))
    p: FloatArray = np.where(logits >= 0, 1.0, small) / (1 + small)
    return p


def _cross_entropy(logits: FloatArray, targets: FloatArray) -> float:
    return float((np.logaddexp(0.0, logits) - targets * logits).sum())
