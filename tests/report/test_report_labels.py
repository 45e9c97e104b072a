"""Report metrics of labels from prompted annotators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sample_report import REPORT

from trimtab.report.collect.labels import build_label_info
from trimtab.report.page.figures import draw_label_histogram, has_human_labels
from trimtab.report.page.html import render_html
from trimtab.report.page.sections.criteria import build_criteria_tables
from trimtab.types import Annotation, Metric, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "Yes.", "No.", "first") for place in range(4)]


def compute_metrics(*details: dict[str, Any] | None) -> dict[str, Metric]:
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=0.6, detail=detail or {})
        for pair, detail in zip(PAIRS, details, strict=True)
    }
    return dict(build_label_info("arm", "prompted", labels, PAIRS, seconds=1.0).metrics)


def node(thought: str, kept: bool = True) -> dict[str, Any]:
    return {"thought": [thought], "kept": kept}


def test_a_thought_that_occurs_for_two_pairs_is_a_duplicate_for_both() -> None:
    trees = [[node("Copied.")], [node("Own."), node("Copied.")], [node("Copied."), node("Of this pair.")]]
    pruned = {"nodes": [node("Fair."), node("Of this pair.", kept=False)]}
    rate = compute_metrics(*({"nodes": nodes} for nodes in trees), pruned)["duplicate_text_rate"]
    # The third tree's last kept node has a unique thought, and so does the fourth's, whose last node is pruned.
    assert (rate.value, rate.n) == (0.5, 4)


def test_one_unique_argument_is_enough() -> None:
    def argue(forward: str, backward: str) -> dict[str, Any]:
        return {"arguments": {"a_first": [{"for": "a", "text": forward}], "b_first": [{"for": "b", "text": backward}]}}

    details = (argue("It helps.", "It is kind."), argue("It helps.", "It helps."), argue("Mine.", "Mine."), None)
    rate = compute_metrics(*details)["duplicate_text_rate"]
    # A text counts once per pair: a text that occurs twice for one pair only is not a duplicate.
    assert (rate.value, rate.n, rate.n_failed) == (1 / 3, 3, 1)


def test_reasoning_counts_and_labels_without_text_do_not() -> None:
    reasons = [{"reasoning": {"a_first": text}} for text in ("Hm.", "Hm.", "Hm.", "Well.")]
    assert compute_metrics(*reasons)["duplicate_text_rate"].value == 0.75
    assert "duplicate_text_rate" not in compute_metrics(None, None, {"p_a_by_order": {"a_first": 0.6}}, None)


def test_without_human_labels_the_histogram_has_no_panel_of_agreement() -> None:
    def draw(pairs: list[Pair]) -> str:
        labels = {pair.id: Annotation(pair_id=pair.id, p_a=0.7) for pair in pairs}
        info = build_label_info("arm", "length", labels, pairs, seconds=1.0)
        assert ("human agreement" in render_html(replace(REPORT, labels=(info,)))) == has_human_labels(info)
        return draw_label_histogram(info)

    assert "humans prefer a" in draw(PAIRS)
    unlabeled = draw([replace(pair, human=None) for pair in PAIRS])
    assert "label probability that a is better" in unlabeled
    assert "humans prefer a" not in unlabeled


def test_criteria_have_a_row_each_with_their_own_agreement() -> None:
    def answer(p_a: float, flips: bool) -> dict[str, Any]:
        return {"p_a": p_a, "weight": 0.25, "order_inconsistent": flips}

    answers = [answer(0.9 if pair.human == "a" else 0.1, place == 0) for place, pair in enumerate(PAIRS)]
    opposite = [{**each, "p_a": 1 - each["p_a"], "weight": -1.5} for each in answers]
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=0.6, detail={"criteria": {"kind": one, "rude": other}})
        for pair, one, other in zip(PAIRS, answers, opposite, strict=True)
    }
    info = build_label_info("judged", "criteria", labels, PAIRS, seconds=1.0)
    assert [each.metrics["agreement"].value for each in info.criteria.values()] == [1, 0]
    assert info.criteria["kind"].metrics["order_inconsistency"].value == 0.25
    report = replace(REPORT, labels=(*REPORT.labels, info))
    (table,) = build_criteria_tables(report)
    assert [(row.name, row.cells[0]) for row in table.rows] == [("judged: kind", "0.250"), ("judged: rude", "−1.500")]
    assert '<section id="criteria">' in render_html(report)


def test_an_annotator_without_criteria_has_no_table_of_them() -> None:
    assert build_criteria_tables(REPORT) == ()
