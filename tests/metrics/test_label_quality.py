"""Label metrics worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.metrics.label_quality import (
    compute_agreement,
    compute_confidence_error,
    compute_correctness,
    compute_coverage,
    compute_label_order_inconsistency,
    compute_length_correlation,
    compute_prompting_metrics,
    get_confidence,
    get_human_choices,
)
from trimtab.types import Annotation, Pair, build_user_prompt


def pair(pair_id: str, human: str | None, a: str = "yes", b: str = "no") -> Pair:
    return Pair(id=pair_id, prompt=build_user_prompt(pair_id), a=a, b=b, human=human)  # type: ignore[arg-type]


def label(pair_id: str, p_a: float | None, status: str = "ok", **detail: Any) -> Annotation:
    return Annotation(pair_id=pair_id, p_a=p_a, status=status, detail=detail)  # type: ignore[arg-type]


PAIRS = [pair("p", "a"), pair("q", "b"), pair("r", "a"), pair("s", "b"), pair("t", None)]
LABELS = {
    "p": label("p", 0.9),
    "q": label("q", 0.8),
    "r": label("r", 0.6),
    "s": label("s", None, "abstained"),
    "t": label("t", None, "failed"),
}
HUMAN = get_human_choices(PAIRS)


def test_human_choices_leave_out_pairs_without_a_label() -> None:
    assert HUMAN == {"p": "a", "q": "b", "r": "a", "s": "b"}


def test_coverage_counts_choices_and_failures() -> None:
    coverage = compute_coverage(LABELS)
    assert (coverage.value, coverage.n, coverage.n_failed) == (3 / 5, 5, 1)


def test_agreement_is_over_human_labeled_pairs_with_a_choice() -> None:
    agreement = compute_agreement(LABELS, HUMAN, {pair.id: pair.prompt_id for pair in PAIRS})
    assert agreement.value == pytest.approx(2 / 3)
    assert (agreement.n, agreement.n_failed) == (3, 1)


def test_correctness_of_an_abstention_is_one_half() -> None:
    assert compute_correctness(LABELS, HUMAN) == {"p": 1.0, "q": 0.0, "r": 1.0, "s": 0.5}


def test_confidence_is_the_probability_of_the_choice() -> None:
    assert [get_confidence(label("x", p_a)) for p_a in (0.8, 0.1)] == [0.8, 0.9]
    assert get_confidence(label("x", None, "abstained")) == 0.5


def test_confidence_error_is_the_gap_between_accuracy_and_confidence() -> None:
    # 0.9 correct, 0.8 wrong and 0.6 correct, each in a bin of its own: (0.1 + 0.8 + 0.4) / 3
    assert compute_confidence_error(LABELS, HUMAN).value == pytest.approx(1.3 / 3)


def test_length_correlation_is_positive_if_longer_responses_are_preferred() -> None:
    pairs = [pair("p", None, a="long text"), pair("q", None, b="longer text")]
    correlation = compute_length_correlation({"p": label("p", 0.9), "q": label("q", 0.1)}, pairs)
    assert correlation.value == pytest.approx(1.0)


def test_order_inconsistency_is_over_labels_that_record_it() -> None:
    labels = {
        "p": label("p", 0.9, order_inconsistent=False),
        "q": label("q", 0.6, order_inconsistent=True),
        "r": label("r", 0.6),
    }
    rate = compute_label_order_inconsistency(labels)
    assert rate is not None and (rate.value, rate.n, rate.n_failed) == (0.5, 2, 1)
    assert compute_label_order_inconsistency(LABELS) is None


def test_texts_that_occur_for_another_pair_are_duplicates() -> None:
    labels = {
        "p": label("p", 0.9, reasoning={"a_first": "the same"}, num_truncated=1),
        "q": label("q", 0.9, reasoning={"a_first": "the same"}, num_truncated=0),
        "r": label("r", 0.9, reasoning={"a_first": "its own"}, num_truncated=0),
        "s": label("s", 0.9, reasoning={"a_first": "the same", "b_first": "also its own"}, num_truncated=0),
    }
    metrics = compute_prompting_metrics(labels)
    assert {name: metric.value for name, metric in metrics.items()} == {
        "truncation_rate": 0.25,
        "duplicate_text_rate": 0.5,
    }


def test_labels_that_were_not_prompted_have_no_prompting_metrics() -> None:
    assert compute_prompting_metrics(LABELS) == {}
