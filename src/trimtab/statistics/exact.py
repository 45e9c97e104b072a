"""Whether two arms differ at all: the exact test that swaps them, cluster by cluster."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from trimtab.statistics.rows import Floats
from trimtab.types import Metric

LEVEL = 0.05
# Up to here every way to swap is gone through; past here ways are drawn.
_ALL_WAYS = 16
_DRAWS = 10_000
# More clusters than this are put at random into as many groups, which are swapped whole.
_GROUPS = 2_000
_SIGNS_AT_ONCE = 1 << 20
# The cosines that the distribution of halves and whole numbers may take.
_COSINES = 1 << 22
# Sums closer than this, as a share of the largest possible one, are the same but for rounding.
_ROUNDING = 1e-9


def swapped(sums: Floats, seed: int = 0) -> float | None:
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
    reached = total - _ROUNDING * most
    doubled = 2 * sizes
    if np.all(doubled == np.rint(doubled)) and (2 * most + 1) * len(np.unique(doubled)) <= _COSINES:
        return _of_whole(np.rint(doubled), round(2 * total))
    if len(sizes) <= _ALL_WAYS:
        return float((np.abs(_every_total(sizes)) >= reached).mean())
    return _drawn(sums, reached, seed)


def as_told(figure: Metric, sums: Floats, null: float = 0.0, seed: int = 0) -> Metric:
    """The same, its interval widened to `null` unless the exact test tells the figure from it. `sums` are the clusters' sums of
    what rows exceed `null` by."""
    if figure.low is None or figure.high is None or figure.low <= null <= figure.high:
        return figure
    # Hoeffding (1963): signs lead as far as this with a chance of at most LEVEL, whatever the sums are.
    if sums.sum() ** 2 >= 2 * math.log(2 / LEVEL) * float((sums**2).sum()) > 0:
        return figure
    p_value = swapped(sums, seed)
    if p_value is not None and p_value <= LEVEL:
        return figure
    return replace(figure, low=min(figure.low, null), high=max(figure.high, null))


def _of_whole(sizes: Floats, total: int) -> float:
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


def _every_total(sizes: Floats) -> Floats:
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return totals


def _drawn(sums: Floats, reached: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    rows = sums
    if len(sums) > _GROUPS:
        rows = np.bincount(rng.permutation(len(sums)) % _GROUPS, weights=sums).astype(np.float64)
    further, step = 0, _SIGNS_AT_ONCE // len(rows)
    for start in range(0, _DRAWS, step):
        draws = min(step, _DRAWS - start)
        signs = 2.0 * rng.integers(0, 2, size=(draws, len(rows)), dtype=np.int8) - 1
        further += int((np.abs(np.einsum("dn,n->d", signs, rows)) >= reached).sum())
    return (further + 1) / (_DRAWS + 1)
