"""Calibration of probabilities: metrics, and maps fitted on human labels.

`p_a` holds the probability that response `a` is better, one value per pair, and `human` the human labels of the same pairs. The
order of `a` and `b` is arbitrary, so metrics and maps are symmetric in it, except Platt scaling, which models a position bias.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.stats.clusters import FloatArray
from trimtab.stats.logistic import fit_logistic_regression, sigmoid
from trimtab.stats.means import mean, proportion
from trimtab.types import Choice, Metric, text_hash

CalibrationMethod = Literal["temperature", "platt", "isotonic"]

MIN_CALIBRATION_PAIRS = 20
# Probabilities are clipped to this distance from 0 and 1: a certain mistake costs 13.8 nats, and log-odds stay finite.
MIN_PROBABILITY = 1e-6


class Calibrator(Protocol):
    """A non-decreasing map from probabilities to probabilities."""

    def __call__(self, p_a: Sequence[float]) -> list[float]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureScaling:
    """sigmoid(logit(p) / temperature) (Guo et al. 2017, section 4.2). Above 1 it reduces confidence. It is infinite, and all
    probabilities are one half, if the labels are no better than chance."""

    temperature: float

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(sigmoid(_logit(_validate_probabilities(p_a)) / self.temperature))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlattScaling:
    """sigmoid(slope * logit(p) + intercept) (Platt 1999). The intercept, in nats, is a bias toward response `a`."""

    slope: float
    intercept: float

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(sigmoid(self.slope * _logit(_validate_probabilities(p_a)) + self.intercept))


@dataclass(frozen=True, slots=True, kw_only=True)
class IsotonicRegression:
    """Linear interpolation between the points (`inputs`, `outputs`), both non-decreasing, and constant outside them."""

    inputs: tuple[float, ...]
    outputs: tuple[float, ...]

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(np.interp(_validate_probabilities(p_a), self.inputs, self.outputs))


def fit_calibration_map(method: CalibrationMethod, p_a: Sequence[float], human: Sequence[Choice]) -> Calibrator:
    """The map of this kind with the maximum likelihood of the human labels; for `isotonic`, the least-squares fit.

    `temperature` and `isotonic` are fitted on each pair and on the same pair with swapped responses, so that swapped pairs get
    1 - p. `platt` is fitted on the original order only, because with both orders it would equal `temperature`. Platt's (1999)
    targets, slightly inside 0 and 1, keep `temperature` and `platt` finite if all labels are correct. Raises `ValueError` for
    fewer than 20 pairs, for human labels that are all `a` or all `b`, for probabilities outside [0, 1], and for lists of
    different lengths.
    """
    p, y = _validate_labeled(p_a, human)
    return _FIT_FUNCTIONS[method](p, y)


def cross_fit_probabilities(
    method: CalibrationMethod,
    p_a: Sequence[float],
    human: Sequence[Choice],
    prompt_ids: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
) -> list[float]:
    """Calibrates each pair with the map fitted on the other folds, for unbiased metrics.

    The fold of a pair depends only on `seed` and its prompt id, so pairs of one prompt share a fold. Raises `ValueError` like
    `fit_calibration_map`, and if all pairs are in one fold.
    """
    p, y = _validate_labeled(p_a, human)
    if len(prompt_ids) != len(p):
        raise ValueError(f"prompt_ids: got {len(prompt_ids)} for {len(p)} pairs")
    fold_of = {key: int(text_hash("fold", str(seed), key), 16) % folds for key in set(prompt_ids)}
    fold = np.array([fold_of[key] for key in prompt_ids])
    present = np.unique(fold)
    if len(present) < 2:
        raise ValueError(f"prompt_ids: all {len(p)} pairs are in one of {folds} folds, expected pairs in two or more")
    result = np.empty_like(p)
    for index in present:
        calibrator = _FIT_FUNCTIONS[method](p[fold != index], y[fold != index])
        result[fold == index] = calibrator(_to_list(p[fold == index]))
    return _to_list(result)


def brier_score(
    p_a: Sequence[float], human: Sequence[Choice], *, clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Metric:
    """The mean of (p - y)², with y = 1 if the human label is `a` (Brier 1950, for one of the two outcomes), with a bootstrap.

    0 is perfect, 1/4 is the score of constant one half. `clusters` as in `stats.mean`.
    """
    p, y = _validate_aligned(p_a, human)
    return mean(_to_list((p - y) ** 2), clusters=clusters, seed=seed)


def log_loss(
    p_a: Sequence[float], human: Sequence[Choice], *, clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Metric:
    """The mean of -ln of the probability of the human label, in nats, with a bootstrap.

    0 is perfect, ln 2 is the loss of constant one half. Probabilities are clipped to [1e-6, 1 - 1e-6].
    """
    p, y = _validate_aligned(p_a, human)
    chosen = np.clip(np.where(y == 1, p, 1 - p), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return mean(_to_list(-np.log(chosen)), clusters=clusters, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pairs with labels of similar confidence: the mean probability of the preferred response, and the fraction of pairs with
    the same human label, with Wilson's interval."""

    confidence: float
    accuracy: Metric


def reliability_curve(p_a: Sequence[float], human: Sequence[Choice], *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The reliability curve from the least to the most confident labels, in at most `bins` bins of about equal size.

    Labels are ranked by the probability of their preferred response. Equally confident labels share a bin; bins left
    empty by this are omitted. Labels with a probability of exactly one half are ignored. Raises `ValueError` for
    probabilities outside [0, 1], for lists of different lengths, and for fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    p, y = _validate_aligned(p_a, human)
    decided = p != 0.5
    confidence = np.maximum(p, 1 - p)[decided]
    correct = ((p > 0.5) == (y == 1))[decided]
    bin_indices = _assign_equal_mass_bins(confidence, bins)
    return tuple(
        ReliabilityBin(
            confidence=float(np.sort(confidence[bin_indices == index]).mean()),
            accuracy=proportion(int(correct[bin_indices == index].sum()), int((bin_indices == index).sum())),
        )
        for index in np.unique(bin_indices)
    )


def equal_mass_calibration_error(p_a: Sequence[float], human: Sequence[Choice], *, bins: int = 10) -> Metric:
    """Expected calibration error over bins of equal size (Nguyen & O'Connor 2015): Σ (n_bin / n) |accuracy - confidence|.

    The bins are those of `reliability_curve`, which has intervals. There is no interval here, for the reason given in
    `stats.expected_calibration_error`. `n_failed` counts the pairs with a probability of one half.
    """
    curve = reliability_curve(p_a, human, bins=bins)
    n = sum(point.accuracy.n for point in curve)
    gaps = [point.accuracy.n * abs((point.accuracy.value or 0.0) - point.confidence) for point in curve]
    return Metric(value=sum(gaps) / n if n else None, low=None, high=None, n=n, n_failed=len(p_a) - n)


def _fit_temperature(p: FloatArray, y: FloatArray) -> TemperatureScaling:
    """With both orders, the second repeats the first: one row per pair, with the sign of the human label."""
    signed = np.where(y == 1, 1.0, -1.0) * _logit(p)
    target = (len(p) + 1) / (len(p) + 2)
    (slope,) = fit_logistic_regression(signed[:, None], np.full(len(p), target))
    return TemperatureScaling(temperature=float(1 / slope) if slope > 0 else float("inf"))


def _fit_platt(p: FloatArray, y: FloatArray) -> PlattScaling:
    n_a = float(y.sum())
    targets = np.where(y == 1, (n_a + 1) / (n_a + 2), 1 / (len(y) - n_a + 2))
    slope, intercept = fit_logistic_regression(np.stack([_logit(p), np.ones(len(p))], axis=1), targets)
    return PlattScaling(slope=float(slope), intercept=float(intercept))


def _fit_isotonic(p: FloatArray, y: FloatArray) -> IsotonicRegression:
    """Isotonic regression (Ayer et al. 1955) on both orders, clipped to 1/(n + 2) from 0 and 1 (our default), because zero
    observed errors do not imply certainty."""
    from scipy.optimize import isotonic_regression

    # 1 - (1 - p) is not always p, so values are compared to twelve digits
    inputs, index = np.unique(np.round(np.concatenate([p, 1 - p]), 12), return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    fractions = np.bincount(index, weights=np.concatenate([y, 1 - y])) / counts
    smallest = 1 / (len(p) + 2)
    outputs = np.clip(isotonic_regression(fractions, weights=counts).x, smallest, 1 - smallest)
    return IsotonicRegression(inputs=tuple(map(float, inputs)), outputs=tuple(map(float, outputs)))


_FIT_FUNCTIONS: Mapping[CalibrationMethod, Callable[[FloatArray, FloatArray], Calibrator]] = {
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "isotonic": _fit_isotonic,
}


def _assign_equal_mass_bins(values: FloatArray, bins: int) -> NDArray[np.intp]:
    """The bin of each value by rank; equal values share the middle of their ranks."""
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return (ranks * bins) // (2 * max(len(values), 1))


def _validate_labeled(p_a: Sequence[float], human: Sequence[Choice]) -> tuple[FloatArray, FloatArray]:
    p, y = _validate_aligned(p_a, human)
    if len(p) < MIN_CALIBRATION_PAIRS:
        raise ValueError(
            f"{len(p)} labeled pairs are too few for calibration, expected {MIN_CALIBRATION_PAIRS} or more"
        )
    if y.min() == y.max():
        raise ValueError(f"human: all {len(y)} choices are {human[0]!r}, expected both `a` and `b`")
    return p, y


def _validate_aligned(p_a: Sequence[float], human: Sequence[Choice]) -> tuple[FloatArray, FloatArray]:
    if len(p_a) != len(human):
        raise ValueError(f"human: {len(human)} choices for {len(p_a)} probabilities")
    invalid = next((index for index, choice in enumerate(human) if choice not in ("a", "b")), None)
    if invalid is not None:
        raise ValueError(f"human[{invalid}] must be 'a' or 'b', got {human[invalid]!r}")
    return _validate_probabilities(p_a), np.array([float(choice == "a") for choice in human])


def _validate_probabilities(p_a: Sequence[float]) -> FloatArray:
    p = np.asarray(p_a, dtype=np.float64)
    invalid = np.flatnonzero(~((p >= 0) & (p <= 1)))  # includes NaN
    if len(invalid):
        raise ValueError(f"p_a[{invalid[0]}] must be a probability in [0, 1], got {p[invalid[0]]}")
    return p


def _logit(p: FloatArray) -> FloatArray:
    from scipy.special import logit

    log_odds: FloatArray = logit(np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    return log_odds


def _to_list(values: FloatArray) -> list[float]:
    return [float(value) for value in values]
