"""A linear probe: logistic regression on differences, without intercept, with cross-validated regularization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.core.annotator_inputs import PairFeatures
from trimtab.errors import DataError
from trimtab.types import Pair, text_hash

_Floats = NDArray[np.float64]

# Inverse regularization strengths, from strong to weak. Columns are scaled so that a row's squares sum to about 1.
C_GRID = tuple(10.0**power for power in range(-3, 4))
NUM_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProbe:
    """`weights` map a difference to the log-odds of `a` in nats.

    `regularization_c` is the selected inverse regularization strength (C in scikit-learn), `cv_log_loss` its cross-validated
    log-loss in nats. `held_out_log_odds` are those of the rows by probes of that strength that were fitted without their folds;
    0 where the other folds contain a single class.
    """

    weights: _Floats
    regularization_c: float
    cv_log_loss: float
    held_out_log_odds: _Floats

    def compute_log_odds(self, rows: _Floats) -> _Floats:
        log_odds: _Floats = np.asarray(rows, dtype=np.float64) @ self.weights
        return log_odds


def require_finite_features(kind: str, pair: Pair, features: PairFeatures) -> _Floats:
    """The features of a labeled pair. Raises `DataError` if they are not finite."""
    values: _Floats = np.asarray(features.values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"{kind}: the hidden states of labeled pair {pair.id} are not finite, which intact weights do not produce; "
            "check the model's weights for NaN, or set dtype: float32"
        )
    return values


def fit_probe(
    rows: _Floats, chose_a: Sequence[bool], groups: Sequence[str], weights: Sequence[float] | None = None
) -> LinearProbe:
    """Fits a probe by maximum likelihood to rows of shape (n, features), which are scaled here.

    There is no intercept, so swapped responses get the opposite log-odds. Rows of one group (prompt) share a fold, which is a
    hash of the group's name. Rows are rotated into the space they span, which has at most n dimensions and does not change
    the penalty.
    """
    rows, y = np.asarray(rows, dtype=np.float64), np.asarray(chose_a, dtype=bool)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    scale = np.sqrt((rows**2).mean(axis=0) * rows.shape[1])
    scaled = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    left, singular_values, right = np.linalg.svd(scaled, full_matrices=False)
    rotated = left * singular_values
    folds = np.array([int(text_hash("fold", group), 16) % NUM_FOLDS for group in groups])
    held_out = {c: _predict_held_out(rotated, y, w, folds, c) for c in C_GRID}
    losses = {c: _compute_log_loss(log_odds, y, w) for c, log_odds in held_out.items()}
    best_c = min(losses, key=lambda c: (losses[c], c))
    coefficients = right.T @ _fit_logistic(rotated, y, w, best_c)
    unscaled = np.divide(coefficients, scale, out=np.zeros_like(coefficients), where=scale > 0)
    return LinearProbe(
        weights=unscaled,
        regularization_c=best_c,
        cv_log_loss=losses[best_c],
        held_out_log_odds=held_out[best_c],
    )


def _predict_held_out(
    rows: _Floats, y: NDArray[np.bool_], weights: _Floats, folds: NDArray[np.int_], c: float
) -> _Floats:
    """The log-odds of each row by a fit to the other folds; 0 if these contain a single class."""
    log_odds = np.zeros(len(y))
    for fold in np.unique(folds):
        test = folds == fold
        train = ~test
        if y[train].any() and not y[train].all():
            log_odds[test] = rows[test] @ _fit_logistic(rows[train], y[train], weights[train], c)
    return log_odds


def _compute_log_loss(log_odds: _Floats, y: NDArray[np.bool_], weights: _Floats) -> float:
    """The weighted mean in nats."""
    losses = weights * np.logaddexp(0.0, np.where(y, -log_odds, log_odds))
    return float(losses.sum() / weights.sum())


def _fit_logistic(rows: _Floats, y: NDArray[np.bool_], weights: _Floats, c: float) -> _Floats:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes about a second to import

    model = LogisticRegression(C=c, fit_intercept=False, max_iter=5_000, tol=1e-6)
    coefficients: _Floats = model.fit(rows, y, sample_weight=weights).coef_[0]
    return coefficients
