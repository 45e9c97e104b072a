"""A linear probe of differences: logistic regression without intercept, its regularization chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.types import text_hash

Floats = NDArray[np.float64]

# What is tried, from the strongest penalty to the weakest; columns are scaled so that a row's squares sum to about 1.
C_GRID = tuple(10.0**power for power in range(-3, 4))
NUM_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProbe:
    """`weights` turn a difference into log-odds of `a`, in nats. `penalty` is the inverse strength that was chosen (C in
    scikit-learn), `log_loss` its cross-validated loss in nats."""

    weights: Floats
    regularization_c: float
    cv_log_loss: float

    def compute_log_odds(self, rows: Floats) -> Floats:
        found: Floats = np.asarray(rows, dtype=np.float64) @ self.weights
        return found


def fit_probe(
    rows: Floats, chose_a: Sequence[bool], groups: Sequence[str], weights: Sequence[float] | None = None
) -> LinearProbe:
    """The probe that makes the choices most likely, on rows of shape (n, features) that are scaled here.

    There is no intercept, so that swapped responses get the opposite. Pairs of one group (prompt) are in one fold, drawn from
    the group's name. Rows are rotated into the space that they span, which has n dimensions at most and leaves the
    penalty as it was.
    """
    rows, y = np.asarray(rows, dtype=np.float64), np.asarray(chose_a, dtype=bool)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    scale = np.sqrt((rows**2).mean(axis=0) * rows.shape[1])
    scaled = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    left, sizes, right = np.linalg.svd(scaled, full_matrices=False)
    rotated = left * sizes
    fold = np.array([int(text_hash("fold", group), 16) % NUM_FOLDS for group in groups])
    losses = {each: _compute_cv_loss(rotated, y, w, fold, each) for each in C_GRID}
    penalty = min(losses, key=lambda each: (losses[each], each))
    turned = right.T @ _fit_logistic(rotated, y, w, penalty)
    whole = np.divide(turned, scale, out=np.zeros_like(turned), where=scale > 0)
    return LinearProbe(weights=whole, regularization_c=penalty, cv_log_loss=losses[penalty])


def _compute_cv_loss(
    rows: Floats, y: NDArray[np.bool_], weights: Floats, fold: NDArray[np.int_], penalty: float
) -> float:
    """Mean log-loss of each row by the probe that was fitted without its fold; ln 2 where a fold leaves one choice alone."""
    total = 0.0
    for each in np.unique(fold):
        out = fold == each
        kept = ~out
        if y[kept].all() or not y[kept].any():
            total += float(np.log(2) * weights[out].sum())
            continue
        odds = rows[out] @ _fit_logistic(rows[kept], y[kept], weights[kept], penalty)
        total += float((weights[out] * np.logaddexp(0.0, np.where(y[out], -odds, odds))).sum())
    return total / float(weights.sum())


def _fit_logistic(rows: Floats, y: NDArray[np.bool_], weights: Floats, penalty: float) -> Floats:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second to import

    model = LogisticRegression(C=penalty, fit_intercept=False, max_iter=5_000, tol=1e-6)
    found: Floats = model.fit(rows, y, sample_weight=weights).coef_[0]
    return found
