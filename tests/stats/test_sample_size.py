"""Required sample size compared with values computed by hand and with simulated studies."""

from __future__ import annotations

import math
import random

import pytest

from trimtab.stats import paired_difference, required_sample_size
from trimtab.types import Metric


def test_the_required_sample_size_matches_the_value_computed_by_hand() -> None:
    # Standard error 0.05 at 100 rows; 0.05 is to be 2.8016 standard errors: 100 · 2.8016² = 784.9.
    difference = Metric(value=-0.05, low=-0.05 - 0.098, high=-0.05 + 0.098, n=100)
    assert required_sample_size(difference) == 785


def test_the_required_sample_size_is_undefined_without_a_difference_or_an_interval() -> None:
    assert required_sample_size(Metric(value=0.0, low=-1.0, high=1.0, n=10)) is None
    assert required_sample_size(Metric(value=0.3, low=None, high=None, n=1)) is None
    assert required_sample_size(Metric(value=None, low=None, high=None, n=0)) is None


def test_the_required_sample_size_has_a_power_of_80_percent() -> None:
    n_rows = required_sample_size(Metric(value=0.2, low=0.2 - 1.96, high=0.2 + 1.96, n=1)) or 0
    assert n_rows == pytest.approx((2.8016 / 0.2) ** 2, abs=1)
    rng = random.Random(2)
    n_significant = 0
    for _ in range(400):
        gains = [rng.gauss(0.2, 1) for _ in range(n_rows)]
        center = sum(gains) / n_rows
        error = math.sqrt(sum((gain - center) ** 2 for gain in gains) / (n_rows - 1) / n_rows)
        n_significant += center - 1.96 * error > 0
    assert 0.74 < n_significant / 400 < 0.86


def test_a_significant_difference_needs_no_more_rows() -> None:
    values = {str(i): 1.0 + i % 3 for i in range(90)}
    significant = paired_difference(values, dict.fromkeys(values, 0.0))
    assert (required_sample_size(significant) or 0) < 90
