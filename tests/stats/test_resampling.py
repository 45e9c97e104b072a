"""Bootstrap sums compared with resamples drawn row by row."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.stats import resampling
from trimtab.stats.resampling import resample_sums


@pytest.mark.parametrize("n", [100, 2000])
def test_sums_match_explicit_resamples(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "N_RESAMPLES", 70)
    rows = np.column_stack([np.sort(np.random.default_rng(1).normal(size=n)), np.ones(n)])
    indices = np.random.default_rng(5).integers(n, size=(70, n))
    assert resample_sums(rows, 5) == pytest.approx(rows[indices].sum(axis=1))


def test_group_resamples_have_the_same_mean_number_of_rows() -> None:
    rows = np.column_stack([np.random.default_rng(1).normal(size=5001), np.ones(5001)])
    sums = resample_sums(rows, 0)
    # groups have two or three rows each, so the number of rows has a standard deviation of √(2000 · 0.25) ≈ 22
    assert sums[:, 1].mean() == pytest.approx(5001, abs=1)
    assert sums[:, 1].std() == pytest.approx(22.4, rel=0.05)
    assert (sums[:, 0] / sums[:, 1]).std() == pytest.approx(rows[:, 0].std() / 5001**0.5, rel=0.07)


def test_metrics_over_the_same_number_of_clusters_share_their_resamples() -> None:
    values = np.random.default_rng(2).normal(size=(300, 2))
    values = values[np.argsort(values[:, 0])]
    values[:, 1].sort()  # both columns sorted, as in resampling
    both = resample_sums(values, 0)
    assert resample_sums(values[:, :1], 0)[:, 0] == pytest.approx(both[:, 0])
    assert resample_sums(values[:, 1:], 0)[:, 0] == pytest.approx(both[:, 1])
