"""The annotator `criteria` asks about each criterion separately and learns from human labels which ones count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from trimtab.annotators.criteria import Criteria
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError
from trimtab.metrics.label_quality import compute_prompting_metrics
from trimtab.prompts.criterion_weights import fit_criterion_weights
from trimtab.types import EngineRequest, Pair, build_user_prompt

LONGER, POLITE, FIRST = "Which is longer?", "Which is more polite?", "Which comes first?"
CRITERIA = {"long": [LONGER, f"{LONGER} Really?"], "polite": [POLITE], "first": [FIRST]}


def build_pair(index: int, *, with_label: bool = True) -> Pair:
    """One response is polite, and every third time it is also the longer one. Humans prefer polite responses."""
    polite = f"please {'very ' * 3 if index % 3 == 0 else ''}{index}"
    return Pair.from_responses(
        build_user_prompt(f"{index}?"), polite, f"no no no {index}", "first" if with_label else None
    )


LABELED = [build_pair(index) for index in range(40)]
NEW = [build_pair(index, with_label=False) for index in range(100, 120)]


def answer(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
    """Knows which response is longer and which is polite; the answer to a third question is always the first response."""
    text = request.prompt[-1].content
    first, second = (text.split(f"<response_{n}>")[1].split("</response_")[0] for n in (1, 2))
    if FIRST in text:
        return [0.8, 0.2]
    if POLITE in text:
        return [0.9, 0.1] if "please" in first else [0.1, 0.9]
    certain = 0.9 if "Really?" in text else 0.7
    return [certain, 1 - certain] if len(first) > len(second) else [1 - certain, certain]


def build_inputs(labeled: Sequence[Pair] = LABELED) -> AnnotatorInputs:
    return AnnotatorInputs(engines={"weak": ScriptedEngine(choice_weights=answer)}, labeled_pairs=tuple(labeled))


def build_criteria(criteria: Mapping[str, Sequence[str]] = CRITERIA) -> Criteria:
    component = build_component("annotators", {"kind": "criteria", "criteria": dict(criteria)})
    assert isinstance(component, Criteria)
    return component


def test_the_weights_are_those_of_the_criterion_that_humans_go_by() -> None:
    labels = build_criteria().annotate(NEW, build_inputs())
    for pair, label in zip(NEW, labels, strict=True):
        assert label.choice == ("a" if "please" in pair.a else "b")
        assert label.p_a is not None
        assert label.margin == pytest.approx(math.log(label.p_a / (1 - label.p_a)))
    weights = {name: each["weight"] for name, each in labels[0].detail["criteria"].items()}
    assert weights["polite"] > 1
    assert abs(weights["long"]) < 0.5 * weights["polite"]
    assert weights["first"] == 0


def test_the_phrasings_of_a_criterion_are_averaged() -> None:
    label, *_ = build_criteria().annotate(NEW[:1], build_inputs())
    longer = "a" if len(NEW[0].a) > len(NEW[0].b) else "b"
    assert label.detail["criteria"]["long"]["p_a"] == pytest.approx(0.8 if longer == "a" else 0.2)


def test_order_flips_are_reported_for_each_criterion() -> None:
    labels = build_criteria().annotate(NEW, build_inputs())
    metrics = compute_prompting_metrics({label.pair_id: label for label in labels})
    rates = {name: metric.value for name, metric in metrics.items() if name.startswith("order_inconsistency")}
    assert rates == {
        "order_inconsistency": 0.0,
        "order_inconsistency.long": 0.0,
        "order_inconsistency.polite": 0.0,
        "order_inconsistency.first": 1.0,
    }


def test_all_questions_about_a_pair_in_one_order_share_the_text_before_the_question() -> None:
    inputs = build_inputs()
    build_criteria().annotate(NEW[:1], inputs)
    engine = inputs.engines["weak"]
    assert isinstance(engine, ScriptedEngine)
    texts = [request.prompt[-1].content for request in engine.requests[-4:]]
    assert len({text.rpartition("</response_2>")[0] for text in texts}) == 1


def test_too_few_human_labels_are_an_error() -> None:
    with pytest.raises(DataError, match="criteria: 19 labeled pairs"):
        build_criteria().annotate(NEW, build_inputs(LABELED[:19]))


def test_labels_fail_if_the_model_cannot_answer_about_the_labeled_pairs() -> None:
    def refuse(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        index = int(request.prompt[-1].content.split("?")[0].rpartition(" ")[2])
        return answer(request, candidates) if index >= 100 else [math.nan, math.nan]

    inputs = AnnotatorInputs(engines={"weak": ScriptedEngine(choice_weights=refuse)}, labeled_pairs=tuple(LABELED))
    (label,) = build_criteria().annotate(NEW[:1], inputs)
    assert label.status == "failed"
    assert "0 of 40 labeled pairs" in label.note


def test_weights_of_pairs_that_one_criterion_separates_are_finite() -> None:
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-2.0, 0.0]])
    weights = fit_criterion_weights(rows, np.array([1.0, 0.0, 1.0, 0.0]))
    assert 0 < weights[0] < 10
    assert weights[1] == 0


@pytest.mark.parametrize("criteria", [{}, {"good": []}, {"good": [" "]}, {"Good one": ["Which?"]}])
def test_criteria_without_a_question_or_a_name_are_rejected(criteria: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"criteri|question"):
        build_component("annotators", {"kind": "criteria", "criteria": criteria})
