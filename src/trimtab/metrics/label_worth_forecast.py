"""A forecast, without training a student, of how many human labels a pool of weak labels is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, sum_by_cluster
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
from trimtab.types import Metric


def forecast_label_worth(
    weights: Sequence[float],
    is_correct: Sequence[bool],
    num_labels: int,
    *,
    human_accuracy: float = 1.0,
    clusters: ClusterIds | None = None,
    seed: int = 0,
) -> Metric:
    """The number of human labels with as much information as `num_labels` weak labels, with an interval over labeled pairs.

    `weights` >= 0 are those that labels of the labeled pairs would have in training: 1 for hard labels, 0 for dropped ones.
    `is_correct` states whether they agree with the human labels. The labels must come from an annotator that has not been
    trained on these pairs, and the pool must be exchangeable with them.

    Derivation. For small effects, training moves the student along the sum of w z x over pairs, where z = ±1 is the label and x
    the pair's gradient. If a label is right with probability a, whatever the pair, the mean of z is 2a - 1 times the true sign.
    The signal is then proportional to Σ w (2a - 1), the noise to √(Σ w²), and the squared ratio (Σ w (2a - 1))² / Σ w² is the
    number of error-free labels that do as well: n(2a - 1)² for n hard labels, Σ (2a - 1)² for the best weights, 2a - 1. Human
    labels that are right with probability h count (2h - 1)² each, and agreement A with them understates accuracy:
    2A - 1 = (2a - 1)(2h - 1). In human labels, the forecast is therefore (Σ w (2A - 1))² / Σ w² / (2h - 1)⁴. With h = 1, the
    default, it is a lower bound in this respect. Errors that depend on the pair, such as a preference for length, teach the
    student that preference; the forecast ignores this.

    There is no interval for fewer than ten clusters. Raises `ValueError` for lists of different lengths, negative weights or
    none above 0, and a human accuracy outside (1/2, 1].
    """
    weight = np.asarray(weights, dtype=np.float64)
    if len(weight) != len(is_correct) or not (weight >= 0).all() or not (weight > 0).any():
        raise ValueError(
            f"label_worth_forecast: {len(weight)} weights from {weight.min(initial=0)} for {len(is_correct)} outcomes; "
            "expected as many weights as outcomes, none below 0 and at least one above"
        )
    if not 0.5 < human_accuracy <= 1:
        raise ValueError(
            f"label_worth_forecast: a human accuracy of {human_accuracy}, expected more than 0.5 and at most 1"
        )
    signs = np.where(is_correct, 1.0, -1.0)
    sums = sum_by_cluster(np.column_stack([weight * signs, weight**2]), clusters)
    scale = num_labels / (2 * human_accuracy - 1) ** 4
    value = float(_share(sums.sum(axis=0))) * scale
    if len(sums) < MIN_BOOTSTRAP_CLUSTERS:
        return Metric(value=value, low=None, high=None, n=len(weight))
    low, high = percentile_interval(_share(resample_sums(sums, seed)) * scale, len(sums))
    return Metric(value=value, low=min(low, value), high=max(high, value), n=len(weight))


def _share(sums: FloatArray) -> FloatArray:
    """(Σ w z)² / (n Σ w²) from the sums of w z, w² and 1 in the last axis; 0 if the labels are worse than chance."""
    signal, squares, n = (sums[..., index] for index in range(3))
    return np.asarray(np.divide(np.maximum(signal, 0.0) ** 2, squares * n, out=np.zeros_like(n), where=squares > 0))
