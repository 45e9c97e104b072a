"""The forecast of label worth: values computed by hand."""

from __future__ import annotations

import pytest

from trimtab.metrics.label_worth_forecast import forecast_label_worth
from trimtab.types import Metric

THREE_OF_FOUR = [True, True, True, False] * 25


def test_hard_labels_count_by_the_square_of_2a_minus_1() -> None:
    # a = 0.75: 1,000 · 0.5² = 250
    worth = forecast_label_worth([1.0] * 100, THREE_OF_FOUR, 1000)
    assert worth.value == pytest.approx(250)
    assert worth.low is not None
    assert worth.high is not None
    # the interval of the accuracy, about 0.75 ± 0.0853, gives (0.5 ± 0.1706)² · 1,000
    assert worth.low == pytest.approx(108.5, rel=0.15)
    assert worth.high == pytest.approx(449.7, rel=0.05)
    assert worth.n == 100


def test_dropped_labels_do_not_count() -> None:
    # half of the labels, all right, and the other half at chance: q (2a - 1)² is 0.5 if they are kept, 0.25 for all
    is_correct = [True] * 20 + [True, False] * 10
    assert forecast_label_worth([1.0] * 20 + [0.0] * 20, is_correct, 100).value == pytest.approx(50)
    assert forecast_label_worth([1.0] * 40, is_correct, 100).value == pytest.approx(25)


def test_weights_of_2a_minus_1_are_the_best() -> None:
    # 20 labels with a = 0.9 and 20 with a = 0.6: (20 · 0.8² + 20 · 0.2²)/40 = 0.34; equal weights give 0.5² = 0.25
    is_correct = ([True] * 9 + [False]) * 2 + ([True] * 6 + [False] * 4) * 2
    assert forecast_label_worth([0.8] * 20 + [0.2] * 20, is_correct, 100).value == pytest.approx(34)
    assert forecast_label_worth([1.0] * 40, is_correct, 100).value == pytest.approx(25)
    assert forecast_label_worth([8.0] * 20 + [2.0] * 20, is_correct, 100).value == pytest.approx(34)
    # (20 · 0.6 · 0.8 + 20 · 0.4 · 0.2)² / (20 · 0.6² + 20 · 0.4²) / 40 = 125.44 / 416
    assert forecast_label_worth([0.6] * 20 + [0.4] * 20, is_correct, 100).value == pytest.approx(30.15, abs=0.01)


def test_human_labels_with_errors_are_worth_less() -> None:
    # h = 0.9: 250 / 0.8⁴ = 610.35; the labels themselves are right with probability 0.5 + 0.5 / 0.8 / 2 = 0.8125
    assert forecast_label_worth([1.0] * 100, THREE_OF_FOUR, 1000, human_accuracy=0.9).value == pytest.approx(610.3516)
    # weak labels that agree with human labels as often as two of these with each other, h² + (1 - h)² = 0.82, are worth as many
    similar = [True] * 82 + [False] * 18
    assert forecast_label_worth([1.0] * 100, similar, 1000, human_accuracy=0.9).value == pytest.approx(1000)


def test_labels_worse_than_chance_are_worth_nothing_and_few_prompts_have_no_interval() -> None:
    assert forecast_label_worth([1.0] * 4, [False, False, False, True], 1000) == Metric(
        value=0.0, low=None, high=None, n=4
    )
    by_prompt = forecast_label_worth([1.0] * 100, THREE_OF_FOUR, 1000, clusters=[index // 20 for index in range(100)])
    assert by_prompt.value == pytest.approx(250)
    assert by_prompt.low is None


def test_invalid_inputs_are_rejected() -> None:
    for weights in ([1.0], [-1.0, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="expected as many weights as outcomes"):
            forecast_label_worth(weights, [True, False], 10)
    with pytest.raises(ValueError, match=r"a human accuracy of 0.5, expected more than 0.5"):
        forecast_label_worth([1.0], [True], 10, human_accuracy=0.5)
