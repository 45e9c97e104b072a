"""Whether two arms differ at all: the exact test that swaps them, cluster by cluster."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from trimtab.stats.clusters import FloatArray
from trimtab.types import Metric

SIGNIFICANCE_LEVEL = 0.05
# Up to here every way to swap is gone through; past here ways are drawn.
_MAX_ENUMERATED_CLUSTERS = 16
_N_PERMUTATIONS = 10_000
# More clusters than this are put at random into as many groups, which are swapped whole.
_MAX_PERMUTED_GROUPS = 2_000
_MAX_SIGNS_PER_BATCH = 1 << 20
# The cosines that the distribution of halves and whole numbers may take.
_MAX_FOURIER_TERMS = 1 << 22
# Sums closer than this, as a share of the largest possible one, are the same but for rounding.
_RELATIVE_TOLERANCE = 1e-9


def sign_flip_p_value(sums: FloatArray, seed: int = 0) -> float | None:
    """The two-sided p-value of the sums of a difference over clusters, (clusters,); None where all are zero.

    Were both arms equally good, and what sets them apart in a cluster as likely the other way round, every sum would have the
    sign of a coin flip (Fisher 1935, section 21; Pitman 1937). It is the chance that the total then lies at least as far from
    zero as it does. With rights and wrongs, one row a cluster, it is McNemar's exact test (1947). Halves and whole numbers,
    and all else with up to 16 clusters that differ, have their exact distribution; otherwise 10,000 draws of signs, the one at
    hand among them, keep the test's level exact (Phipson & Smyth 2010).
    """
    sizes = np.abs(sums[sums != 0])
    if not len(sizes):
        return None
    total, most = abs(math.fsum(sums)), float(sizes.sum())
    reached = total - _RELATIVE_TOLERANCE * most
    doubled = 2 * sizes
    if np.all(doubled == np.rint(doubled)) and (2 * most + 1) * len(np.unique(doubled)) <= _MAX_FOURIER_TERMS:
        return _exact_p_value(np.rint(doubled), round(2 * total))
    if len(sizes) <= _MAX_ENUMERATED_CLUSTERS:
        return float((np.abs(_enumerate_totals(sizes)) >= reached).mean())
    return _sampled_p_value(sums, reached, seed)


def widen_to_null_unless_significant(metric: Metric, sums: FloatArray, null: float = 0.0, seed: int = 0) -> Metric:
    """The same, its interval widened to `null` unless the exact test tells the figure from it. `sums` are the clusters' sums of
    what rows exceed `null` by."""
    if metric.low is None or metric.high is None or metric.low <= null <= metric.high:
        return metric
    # Hoeffding (1963): signs lead as far as this with a chance of at most LEVEL, whatever the sums are.
    if sums.sum() ** 2 >= 2 * math.log(2 / SIGNIFICANCE_LEVEL) * float((sums**2).sum()) > 0:
        return metric
    p_value = sign_flip_p_value(sums, seed)
    if p_value is not None and p_value <= SIGNIFICANCE_LEVEL:
        return metric
    return replace(metric, low=min(metric.low, null), high=max(metric.high, null))


def _exact_p_value(sizes: FloatArray, total: int) -> float:
    """From the Fourier transform of a sum of independent signs, Π cos(size · angle)."""
    most = round(float(sizes.sum()))
    angles = 2 * np.pi * np.arange(most + 1) / (2 * most + 1)
    wave = np.ones(most + 1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        wave *= np.cos(size * angles) ** count
    chances = np.fft.irfft(wave, 2 * most + 1)
    # The chances of -total to total, which lie on both sides of the array's end; what is seen and its mirror image are always
    # among the others, whatever rounding leaves of them.
    within = float(chances[:total].sum() + chances[2 * most + 2 - total :].sum()) if total else 0.0
    return float(min(1.0, max(1 - within, 2.0 ** (1 - len(sizes)))))


def _enumerate_totals(sizes: FloatArray) -> FloatArray:
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return totals


def _sampled_p_value(sums: FloatArray, threshold: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    rows = sums
    if len(sums) > _MAX_PERMUTED_GROUPS:
        rows = np.bincount(rng.permutation(len(sums)) % _MAX_PERMUTED_GROUPS, weights=sums).astype(np.float64)
    further, step = 0, _MAX_SIGNS_PER_BATCH // len(rows)
    for start in range(0, _N_PERMUTATIONS, step):
        draws = min(step, _N_PERMUTATIONS - start)
        signs = 2.0 * rng.integers(0, 2, size=(draws, len(rows)), dtype=np.int8) - 1
        further += int((np.abs(np.einsum("dn,n->d", signs, rows)) >= threshold).sum())
    return (further + 1) / (_N_PERMUTATIONS + 1)
