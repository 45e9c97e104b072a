"""What a report says of labels that models were asked for."""

from __future__ import annotations

from typing import Any

from trimtab.report.collect.labels import build_label_info
from trimtab.types import Annotation, Metric, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "Yes.", "No.", "first") for place in range(4)]


def told(*details: dict[str, Any] | None) -> dict[str, Metric]:
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=0.6, detail=detail or {})
        for pair, detail in zip(PAIRS, details, strict=True)
    }
    return dict(build_label_info("arm", "asked", labels, PAIRS, seconds=1.0).metrics)


def node(thought: str, kept: bool = True) -> dict[str, Any]:
    return {"thought": [thought], "kept": kept}


def test_a_thought_that_stands_under_two_pairs_is_of_neither() -> None:
    trees = [[node("Copied.")], [node("Own."), node("Copied.")], [node("Copied."), node("Of this pair.")]]
    share = told(*({"nodes": nodes} for nodes in trees), {"nodes": [node("Fair."), node("Of this pair.", kept=False)]})
    # the third tree hands down a thought of its own, and so does the fourth, whose last node does not stay
    assert (share["duplicate_text_rate"].value, share["duplicate_text_rate"].n) == (0.5, 4)


def test_one_argument_that_is_of_the_pair_alone_is_enough() -> None:
    def argued(there: str, back: str) -> dict[str, Any]:
        return {"arguments": {"a_first": [{"for": "a", "text": there}], "b_first": [{"for": "b", "text": back}]}}

    share = told(argued("It helps.", "It is kind."), argued("It helps.", "It helps."), argued("Mine.", "Mine."), None)
    # a text counts once a pair: what is said twice of one pair is still its own
    assert (share["duplicate_text_rate"].value, share["duplicate_text_rate"].n, share["duplicate_text_rate"].n_failed) == (1 / 3, 3, 1)


def test_reasoning_counts_and_labels_without_any_text_say_nothing() -> None:
    reasons = [{"reasoning": {"a_first": said}} for said in ("Hm.", "Hm.", "Hm.", "Well.")]
    assert told(*reasons)["duplicate_text_rate"].value == 0.75
    assert "duplicate_text_rate" not in told(None, None, {"orders": {"a_first": 0.6}}, None)
