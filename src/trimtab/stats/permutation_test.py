"""Exact test for a difference between two arms: swaps the arms, cluster by cluster."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from trimtab.stats.clusters import FloatArray
from trimtab.types import Metric

SIGNIFICANCE_LEVEL = 0.05
# All sign vectors are enumerated up to this number of clusters; above it they are sampled.
_MAX_ENUMERATED_CLUSTERS = 16
_N_PERMUTATIONS = 10_000
# More clusters than this are assigned at random to this many groups, whose signs flip together.
_MAX_PERMUTED_GROUPS = 2_000
_MAX_SIGNS_PER_BATCH = 1 << 20
# Maximum number of cosines for the exact distribution of integers and half-integers.
_MAX_FOURIER_TERMS = 1 << 22
# Relative to the largest possible sum. Sums closer than this are equal up to rounding.
_RELATIVE_TOLERANCE = 1e-9


def sign_flip_p_value(sums: FloatArray, seed: int = 0) -> float | None:
    """The two-sided p-value of a difference, from its sums over clusters, (clusters,). None if all sums are zero.

    Under the null hypothesis both arms are equally good, and each sum has a random sign (Fisher 1935, section 21; Pitman
    1937). The p-value is the probability that the total is at least as far from zero as observed. With binary outcomes and
    one row per cluster this is McNemar's exact test (1947). The distribution is exact for integers and half-integers, and for
    up to 16 nonzero clusters. Otherwise 10,000 sign vectors are sampled, with the observed one counted among them, which keeps
    the level of the test exact (Phipson & Smyth 2010).
    """
    sizes = np.abs(sums[sums != 0])
    if not len(sizes):
        return None
    total, largest = abs(math.fsum(sums)), float(sizes.sum())
    threshold = total - _RELATIVE_TOLERANCE * largest
    doubled = 2 * sizes
    if np.all(doubled == np.rint(doubled)) and (2 * largest + 1) * len(np.unique(doubled)) <= _MAX_FOURIER_TERMS:
        return _exact_p_value(np.rint(doubled), round(2 * total))
    if len(sizes) <= _MAX_ENUMERATED_CLUSTERS:
        return float((np.abs(_enumerate_totals(sizes)) >= threshold).mean())
    return _sampled_p_value(sums, threshold, seed)


def widen_to_null_unless_significant(metric: Metric, sums: FloatArray, null: float = 0.0, seed: int = 0) -> Metric:
    """The metric, with its interval widened to `null` unless the exact test is significant.

    `sums` are the cluster sums of the rows minus `null`.
    """
    if metric.low is None or metric.high is None or metric.low <= null <= metric.high:
        return metric
    # Hoeffding (1963): random signs reach this total with probability at most SIGNIFICANCE_LEVEL, for any sums
    if sums.sum() ** 2 >= 2 * math.log(2 / SIGNIFICANCE_LEVEL) * float((sums**2).sum()) > 0:
        return metric
    p_value = sign_flip_p_value(sums, seed)
    if p_value is not None and p_value <= SIGNIFICANCE_LEVEL:
        return metric
    return replace(metric, low=min(metric.low, null), high=max(metric.high, null))


def _exact_p_value(sizes: FloatArray, total: int) -> float:
    """Inverts the Fourier transform of a sum of independent signs, Π cos(size · angle)."""
    largest = round(float(sizes.sum()))
    angles = 2 * np.pi * np.arange(largest + 1) / (2 * largest + 1)
    transform = np.ones(largest + 1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        transform *= np.cos(size * angles) ** count
    probabilities = np.fft.irfft(transform, 2 * largest + 1)
    # Probabilities of totals strictly between -total and total, which wrap around the end of the array. The observed sign
    # vector and its opposite are always outside this range, which bounds the p-value from below despite rounding.
    within = float(probabilities[:total].sum() + probabilities[2 * largest + 2 - total :].sum()) if total else 0.0
    return float(min(1.0, max(1 - within, 2.0 ** (1 - len(sizes)))))


def _enumerate_totals(sizes: FloatArray) -> FloatArray:
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return totals


def _sampled_p_value(sums: FloatArray, threshold: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    groups = sums
    if len(sums) > _MAX_PERMUTED_GROUPS:
        assignment = rng.permutation(len(sums)) % _MAX_PERMUTED_GROUPS
        groups = np.bincount(assignment, weights=sums).astype(np.float64)
    n_extreme, step = 0, _MAX_SIGNS_PER_BATCH // len(groups)
    for start in range(0, _N_PERMUTATIONS, step):
        n_draws = min(step, _N_PERMUTATIONS - start)
        signs = 2.0 * rng.integers(0, 2, size=(n_draws, len(groups)), dtype=np.int8) - 1
        n_extreme += int((np.abs(np.einsum("dn,n->d", signs, groups)) >= threshold).sum())
    return (n_extreme + 1) / (_N_PERMUTATIONS + 1)
