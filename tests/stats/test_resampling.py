"""Draws with replacement, held to draws made one by one."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.stats import resampling
from trimtab.stats.resampling import resample_sums


@pytest.mark.parametrize("n", [100, 2000])
def test_sums_are_those_of_the_rows_that_were_drawn(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "RESAMPLES", 70)
    rows = np.column_stack([np.sort(np.random.default_rng(1).normal(size=n)), np.ones(n)])
    which = np.random.default_rng(5).integers(n, size=(70, n))
    assert resample_sums(rows, 5) == pytest.approx(rows[which].sum(axis=1))


def test_in_groups_a_draw_has_as_many_rows_on_average() -> None:
    rows = np.column_stack([np.random.default_rng(1).normal(size=5001), np.ones(5001)])
    sums = resample_sums(rows, 0)
    # groups have two or three rows each, so that the number of rows varies with √(2000 · 0.25) ≈ 22
    assert sums[:, 1].mean() == pytest.approx(5001, abs=1)
    assert sums[:, 1].std() == pytest.approx(22.4, rel=0.05)
    assert (sums[:, 0] / sums[:, 1]).std() == pytest.approx(rows[:, 0].std() / 5001**0.5, rel=0.07)


def test_figures_over_as_many_clusters_share_their_draws() -> None:
    values = np.random.default_rng(2).normal(size=(300, 2))
    values = values[np.argsort(values[:, 0])]
    values[:, 1].sort()  # both columns in the order in which rows are drawn
    both = resample_sums(values, 0)
    assert resample_sums(values[:, :1], 0)[:, 0] == pytest.approx(both[:, 0])
    assert resample_sums(values[:, 1:], 0)[:, 0] == pytest.approx(both[:, 1])
