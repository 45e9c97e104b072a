"""How far the probabilities of labels are from how often they are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.stats.clusters import require_finite, undefined_metric
from trimtab.types import Metric


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], *, bins: int = 10) -> Metric:
    """Expected calibration error, Σ over bins of (n_bin / n) |accuracy - mean confidence| (Naeini et al. 2015).

    `confidences` are probabilities of the chosen answer in [0, 1], in `bins` bins of equal width. There is no interval:
    resampling adds noise inside the absolute value, so a bootstrap would lie above the figure it is meant to surround.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"calibration_error: {len(confidences)} confidences for {len(correct)} outcomes")
    sure = require_finite(confidences, "confidences")
    if not len(sure):
        return undefined_metric()
    if sure.min() < 0 or sure.max() > 1:
        raise ValueError(f"confidences must be in [0, 1], got {sure.min()} to {sure.max()}")
    surplus = np.asarray(correct, dtype=np.float64) - sure
    which = np.minimum((sure * bins).astype(np.intp), bins - 1)
    error = np.abs(np.bincount(which, weights=surplus, minlength=bins)).sum() / len(sure)
    return Metric(value=float(error), low=None, high=None, n=len(sure))
