"""The audit's forecast of label worth, from labels with known probabilities."""

from __future__ import annotations

import pytest

from trimtab.metrics.optimal_fraction import select_optimal_fraction
from trimtab.types import Annotation, Pair, build_user_prompt
from trimtab.workflows.audit.evaluation import LabelEvaluation
from trimtab.workflows.audit.worth_forecast import WorthForecast, build_worth_forecast

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}"), "yes", "no", "first") for index in range(200)]


def forecast(confident_correct: int, pool_size: int = 0) -> WorthForecast:
    """100 labels with confidence 0.9, of which so many are right, and 100 with 0.6, of which 50 are right."""
    confidences = [0.9] * 100 + [0.6] * 100
    is_correct = [index % 100 < (confident_correct if index < 100 else 50) for index in range(200)]
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=confidence if right == (pair.human == "a") else 1 - confidence)
        for pair, confidence, right in zip(PAIRS, confidences, is_correct, strict=True)
    }
    selection, _ = LabelEvaluation(pairs=PAIRS, labels=labels).optimal_selection()
    assert selection == select_optimal_fraction(confidences, is_correct)
    pool = {str(index): Annotation(pair_id=str(index), p_a=0.7) for index in range(pool_size)}
    pool |= {"none": Annotation(pair_id="none", p_a=None, status="abstained")} if pool_size else {}
    evaluation = LabelEvaluation(pairs=PAIRS, labels=labels)
    return build_worth_forecast(evaluation, pool, selection, "temperature", 0)


def test_each_use_of_the_labels_has_its_forecast() -> None:
    # (2 · 0.7 - 1)² = 0.16 for all labels, 1/2 · (2 · 0.9 - 1)² = 0.32 for the confident half
    result = forecast(90)
    assert result.num_labels == 1000
    assert result.by_use["hard"].value == pytest.approx(160)
    assert result.by_use["optimal_fraction"].value == pytest.approx(320)
    weighted = result.by_use["weighted"]
    assert weighted.value is not None
    assert (
        160 < weighted.value < 320
    )  # weights of about 0.8 and 0.2 are better than equal ones, but not the best, 0.8 and 0
    assert weighted.value == pytest.approx(1000 * (0.5 * 0.8 * 0.8) ** 2 / (0.5 * (0.8**2 + 0.2**2)), rel=0.1)


def test_the_forecast_is_for_the_labels_of_the_pool() -> None:
    result = forecast(90, pool_size=500)
    assert result.num_labels == 500
    assert result.by_use["hard"].value == pytest.approx(80)
    rows = dict(result.rows())
    assert rows["hard labels"].startswith("80 [")
    assert list(rows) == ["hard labels", "weighted by calibrated 2p − 1", "hard, the most informative fraction"]
