"""Expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import require_finite, undefined_metric
from trimtab.types import Metric


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], *, bins: int = 10) -> Metric:
    """Expected calibration error, Σ over bins of (n_bin / n) |accuracy - mean confidence| (Naeini et al. 2015).

    `confidences` are probabilities of the chosen answer in [0, 1], in `bins` bins of equal width. There is no interval:
    resampling adds noise inside the absolute value, so a bootstrap interval would be biased upward.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"expected_calibration_error: {len(confidences)} confidences for {len(correct)} outcomes")
    confidence = require_finite(confidences, "confidences")
    if not len(confidence):
        return undefined_metric()
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(f"confidences must be in [0, 1], got {confidence.min()} to {confidence.max()}")
    gaps = np.asarray(correct, dtype=np.float64) - confidence
    bin_indices = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    error = np.abs(np.bincount(bin_indices, weights=gaps, minlength=bins)).sum() / len(confidence)
    return Metric(value=float(error), low=None, high=None, n=len(confidence))
