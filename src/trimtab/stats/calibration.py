"""Probabilities that mean what they say: how far they are from it, and maps that bring them nearer.

Throughout, `p_a` holds the probability that response `a` is the better, one a pair, and `human` what people said of the same
pairs. Which response is `a` says nothing, so figures and maps treat both alike, but for Platt's, which looks for a lean.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.stats import mean, proportion
from trimtab.stats.logistic import fit_logistic_regression, sigmoid
from trimtab.types import Choice, Metric, text_hash

FloatArray = NDArray[np.float64]
CalibrationMethod = Literal["temperature", "platt", "isotonic"]

MIN_CALIBRATION_PAIRS = 20
# How near to 0 and 1 a probability counts: a sure mistake costs 13.8 nats, and the log-odds of certainty are finite.
MIN_PROBABILITY = 1e-6


class Calibrator(Protocol):
    """A rising map from probabilities to probabilities."""

    def __call__(self, p_a: Sequence[float]) -> list[float]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureScaling:
    """sigmoid(logit(p) / temperature) (Guo et al. 2017, section 4.2). Above 1 it makes labels less sure; at infinity all are
    one half, which is where labels end that are no better than chance."""

    temperature: float

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(sigmoid(_logit(_validate_probabilities(p_a)) / self.temperature))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlattScaling:
    """sigmoid(slope * logit(p) + intercept) (Platt 1999). The intercept, in nats, is a lean towards what stands as `a`."""

    slope: float
    intercept: float

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(sigmoid(self.slope * _logit(_validate_probabilities(p_a)) + self.intercept))


@dataclass(frozen=True, slots=True, kw_only=True)
class IsotonicRegression:
    """The straight lines between the points (`before`, `after`), both rising, and level outside them."""

    inputs: tuple[float, ...]
    outputs: tuple[float, ...]

    def __call__(self, p_a: Sequence[float]) -> list[float]:
        return _to_list(np.interp(_validate_probabilities(p_a), self.inputs, self.outputs))


def fit_calibration_map(method: CalibrationMethod, p_a: Sequence[float], human: Sequence[Choice]) -> Calibrator:
    """The map of that kind that makes the human choices most likely; for `isotonic`, the one of least squares.

    `temperature` and `isotonic` are fitted on every pair and on the same pair with its responses swapped, so that swapped
    pairs get 1 - p; `platt` is fitted on the pairs as they stand, because with both orientations it would be `temperature`.
    With Platt's (1999) targets, a hair off 0 and 1, `temperature` and `platt` stay finite where every label is right.
    Raises `ValueError` for fewer than 20 pairs, for human choices that are all `a` or all `b`, for probabilities outside
    [0, 1], and for lists of two lengths.
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
    """Each pair's probability by the map that was fitted without the pairs of its fold, so that no figure flatters itself.

    A pair's fold is drawn from `seed` and its prompt's id: pairs of one prompt are in one fold, whatever pairs there are
    besides. Raises `ValueError` as `fit` does, and where all pairs are in one fold.
    """
    p, y = _validate_labeled(p_a, human)
    if len(prompt_ids) != len(p):
        raise ValueError(f"prompt_ids: {len(prompt_ids)} of them for {len(p)} pairs")
    drawn = {key: int(text_hash("fold", str(seed), key), 16) % folds for key in set(prompt_ids)}
    fold = np.array([drawn[key] for key in prompt_ids])
    present = np.unique(fold)
    if len(present) < 2:
        raise ValueError(
            f"prompt_ids: all {len(p)} pairs are in one of {folds} folds, expected two or more that hold pairs"
        )
    result = np.empty_like(p)
    for each in present:
        calibrated = _FIT_FUNCTIONS[method](p[fold != each], y[fold != each])
        result[fold == each] = calibrated(_to_list(p[fold == each]))
    return _to_list(result)


def brier_score(
    p_a: Sequence[float], human: Sequence[Choice], *, clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Metric:
    """The mean of (p - y)², y being 1 where people chose `a` (Brier 1950, over one of the two outcomes), with a bootstrap.

    0 is best, 1/4 is what one half always gets. `clusters` as in `statistics.mean`.
    """
    p, y = _validate_aligned(p_a, human)
    return mean(_to_list((p - y) ** 2), clusters=clusters, seed=seed)


def log_loss(
    p_a: Sequence[float], human: Sequence[Choice], *, clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Metric:
    """The mean of -ln of the probability of what people chose, in nats, with a bootstrap.

    0 is best, ln 2 is what one half always gets. Probabilities count as no nearer than 1e-6 to 0 and 1.
    """
    p, y = _validate_aligned(p_a, human)
    chosen = np.clip(np.where(y == 1, p, 1 - p), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return mean(_to_list(-np.log(chosen)), clusters=clusters, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pairs with labels that are about as sure: the mean probability of the preferred response, and the share in which people
    preferred it, with Wilson's interval."""

    confidence: float
    accuracy: Metric


def reliability_curve(p_a: Sequence[float], human: Sequence[Choice], *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """The reliability curve, the least sure labels first, in at most `bins` bins of about equal count.

    Labels are ranked by the probability of the response that they prefer; equally sure ones share a bin, which can leave
    others empty, and those are left out. A probability of one half prefers nothing and has no place on the curve. Raises
    `ValueError` for probabilities outside [0, 1], for lists of two lengths, and for fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, got {bins}")
    p, y = _validate_aligned(p_a, human)
    known = p != 0.5
    sure = np.maximum(p, 1 - p)[known]
    right = ((p > 0.5) == (y == 1))[known]
    which = _assign_equal_mass_bins(sure, bins)
    return tuple(
        ReliabilityBin(
            confidence=float(np.sort(sure[which == each]).mean()),
            accuracy=proportion(int(right[which == each].sum()), int((which == each).sum())),
        )
        for each in np.unique(which)
    )


def equal_mass_calibration_error(p_a: Sequence[float], human: Sequence[Choice], *, bins: int = 10) -> Metric:
    """Expected calibration error over bins of equal count (Nguyen & O'Connor 2015): Σ (n_bin / n) |share - confidence|.

    The bins are those of `reliability`, and its intervals are the ones to read: there is none here, for the reason that
    `statistics.calibration_error` gives. `n_failed` counts the pairs that have a probability of one half.
    """
    curve = reliability_curve(p_a, human, bins=bins)
    n = sum(each.accuracy.n for each in curve)
    gaps = [each.accuracy.n * abs((each.accuracy.value or 0.0) - each.confidence) for each in curve]
    return Metric(value=sum(gaps) / n if n else None, low=None, high=None, n=n, n_failed=len(p_a) - n)


def _fit_temperature(p: FloatArray, y: FloatArray) -> TemperatureScaling:
    """On both orientations, of which the second repeats the first: one row a pair, signed by what people chose."""
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
    """Pool adjacent violators (Ayer et al. 1955) on both orientations, kept 1/(n + 2) away from 0 and 1 (ours), because
    having seen no error is not to be beyond one."""
    # 1 - (1 - p) is not always p: what differs in the twelfth place alone is one point.
    before, place = np.unique(np.round(np.concatenate([p, 1 - p]), 12), return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    shares = np.bincount(place, weights=np.concatenate([y, 1 - y])) / counts
    least = 1 / (len(p) + 2)
    after = np.clip(_pool_adjacent_violators(shares, counts), least, 1 - least)
    return IsotonicRegression(inputs=tuple(map(float, before)), outputs=tuple(map(float, after)))


_FIT_FUNCTIONS: Mapping[CalibrationMethod, Callable[[FloatArray, FloatArray], Calibrator]] = {
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "isotonic": _fit_isotonic,
}


def _pool_adjacent_violators(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The rising sequence that is nearest to the values in weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        total, heavy, length = float(value * weight), float(weight), 1
        while blocks and blocks[-1][0] * heavy >= total * blocks[-1][1]:
            before = blocks.pop()
            total, heavy, length = total + before[0], heavy + before[1], length + before[2]
        blocks.append((total, heavy, length))
    return np.repeat([total / heavy for total, heavy, _ in blocks], [length for _, _, length in blocks])


def _assign_equal_mass_bins(values: FloatArray, bins: int) -> NDArray[np.intp]:
    """The bin of each value by its rank; equal values have the middle one of their ranks."""
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return (ranks * bins) // (2 * max(len(values), 1))


def _validate_labeled(p_a: Sequence[float], human: Sequence[Choice]) -> tuple[FloatArray, FloatArray]:
    p, y = _validate_aligned(p_a, human)
    if len(p) < MIN_CALIBRATION_PAIRS:
        raise ValueError(
            f"{len(p)} labeled pairs are too few to calibrate on, expected {MIN_CALIBRATION_PAIRS} or more"
        )
    if y.min() == y.max():
        raise ValueError(f"human: all {len(y)} choices are {human[0]!r}, expected both `a` and `b` among them")
    return p, y


def _validate_aligned(p_a: Sequence[float], human: Sequence[Choice]) -> tuple[FloatArray, FloatArray]:
    if len(p_a) != len(human):
        raise ValueError(f"human: {len(human)} choices for {len(p_a)} probabilities")
    other = next((place for place, choice in enumerate(human) if choice not in ("a", "b")), None)
    if other is not None:
        raise ValueError(f"human[{other}] must be 'a' or 'b', got {human[other]!r}")
    return _validate_probabilities(p_a), np.array([float(choice == "a") for choice in human])


def _validate_probabilities(p_a: Sequence[float]) -> FloatArray:
    p = np.asarray(p_a, dtype=np.float64)
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1)))  # which nan is, too
    if len(wrong):
        raise ValueError(f"p_a[{wrong[0]}] must be a probability in [0, 1], got {p[wrong[0]]}")
    return p


def _logit(p: FloatArray) -> FloatArray:
    inside = np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    odds: FloatArray = np.log(inside) - np.log1p(-inside)
    return odds


def _to_list(values: FloatArray) -> list[float]:
    return [float(each) for each in values]
