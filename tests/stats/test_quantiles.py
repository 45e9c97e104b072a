"""Quantiles compared with published tables (Abramowitz & Stegun 1964, tables 26.10 and 26.1)."""

from __future__ import annotations

import pytest

from trimtab.stats.quantiles import Z95, student_t_quantile

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("df", TABLE)
def test_student_t_quantiles_match_the_table(df: int) -> None:
    assert student_t_quantile(df) == pytest.approx(TABLE[df], abs=5e-4)


def test_the_normal_quantile_is_the_limit_of_students_t() -> None:
    assert pytest.approx(1.959963984540054, abs=1e-14) == Z95
    assert student_t_quantile(10**7) == pytest.approx(Z95, abs=1e-6)
