"""Logistic regression of shares, without a penalty."""

from __future__ import annotations

import numpy as np

from trimtab.statistics.rows import Floats

_STEPS = 100
_FLAT = 1e-10


def logistic(rows: Floats, targets: Floats) -> Floats:
    """The weights w for which sigmoid(rows @ w) makes the targets, in [0, 1], most likely: Newton's method with halved steps.

    `rows` has shape (n, weights). Where the rows leave a weight open, as equal ones do, it is the smallest that does.
    """
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        p = sigmoid(rows @ weights)
        gradient = rows.T @ (p - targets)
        if np.abs(gradient).max() <= _FLAT * len(rows):
            break
        step = np.linalg.lstsq((rows * (p * (1 - p))[:, None]).T @ rows, gradient, rcond=None)[0]
        loss = _cross_entropy(rows @ weights, targets)
        while _cross_entropy(rows @ (weights - step), targets) > loss + _FLAT:
            step = step / 2
        weights = weights - step
    return weights


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow at either end."""
    small = np.exp(-np.abs(logits))
    p: Floats = np.where(logits >= 0, 1.0, small) / (1 + small)
    return p


def _cross_entropy(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0.0, logits) - targets * logits).sum())
