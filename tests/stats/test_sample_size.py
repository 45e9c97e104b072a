import math
import random

import pytest

from trimtab.stats import paired_difference, required_sample_size
from trimtab.types import Metric


def test_the_rows_that_would_settle_a_difference_are_worked_by_hand() -> None:
    # Standard error 0.05 at 100 rows; 0.05 is to be 2.8016 standard errors: 100 · 2.8016² = 784.9.
    difference = Metric(value=-0.05, low=-0.05 - 0.098, high=-0.05 + 0.098, n=100)
    assert required_sample_size(difference) == 785


def test_without_a_difference_or_an_interval_nothing_can_be_said() -> None:
    assert required_sample_size(Metric(value=0.0, low=-1.0, high=1.0, n=10)) is None
    assert required_sample_size(Metric(value=0.3, low=None, high=None, n=1)) is None
    assert required_sample_size(Metric(value=None, low=None, high=None, n=0)) is None


def test_with_that_many_rows_four_studies_in_five_show_the_difference() -> None:
    wanted = required_sample_size(Metric(value=0.2, low=0.2 - 1.96, high=0.2 + 1.96, n=1)) or 0
    assert wanted == pytest.approx((2.8016 / 0.2) ** 2, abs=1)
    rng = random.Random(2)
    shown = 0
    for _ in range(400):
        gains = [rng.gauss(0.2, 1) for _ in range(wanted)]
        center = sum(gains) / wanted
        error = math.sqrt(sum((gain - center) ** 2 for gain in gains) / (wanted - 1) / wanted)
        shown += center - 1.96 * error > 0
    assert 0.74 < shown / 400 < 0.86


def test_a_difference_that_is_settled_needs_no_more_rows_than_there_are() -> None:
    ours = {str(i): 1.0 + i % 3 for i in range(90)}
    settled = paired_difference(ours, dict.fromkeys(ours, 0.0))
    assert (required_sample_size(settled) or 0) < 90
