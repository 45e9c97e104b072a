"""The annotator `criteria_probe` learns a strong model's answers about criteria by probes on a weak model's hidden states."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from trimtab.annotators.criteria_probe import CriteriaProbe
from trimtab.core.annotator_inputs import AnnotatorInputs, PairFeatures
from trimtab.core.component import build_component
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError
from trimtab.metrics.label_criteria import summarize_label_criteria
from trimtab.metrics.label_quality import compute_prompting_metrics, get_human_choices
from trimtab.types import Annotation, EngineRequest, Pair, build_user_prompt

LONGER, POLITE, FIRST = "Which is longer?", "Which is more polite?", "Which comes first?"
CRITERIA = {"long": [LONGER], "polite": [POLITE]}
WIDTH = 8


def build_pair(index: int) -> Pair:
    """One response is polite, and every third time it is also the longer one. Humans prefer polite responses."""
    polite = f"please {'very ' * 3 if index % 3 == 0 else ''}{index}"
    return Pair.from_responses(build_user_prompt(f"{index}?"), polite, f"no no no {index}", "first")


LABELED = [build_pair(index) for index in range(60)]
NEW = [build_pair(index) for index in range(100, 130)]


def build_features(pair: Pair) -> PairFeatures:
    """Hidden states of which one direction is politeness and another is length, with noise in all."""
    values = np.random.default_rng(int(pair.id[:8], 16)).normal(size=WIDTH)
    values[0] += 6 if "please" in pair.a else -6
    values[1] += 6 if len(pair.a) > len(pair.b) else -6
    return PairFeatures(values=values.astype(np.float32), tokens=11)


def answer(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
    """Knows which response is longer and which is polite; the answer to a third question is always the first response."""
    text = request.prompt[-1].content
    first, second = (text.split(f"<response_{n}>")[1].split("</response_")[0] for n in (1, 2))
    if FIRST in text:
        return [0.8, 0.2]
    is_first = "please" in first if POLITE in text else len(first) > len(second)
    return [0.9, 0.1] if is_first else [0.1, 0.9]


def build_inputs(labeled: Sequence[Pair] = LABELED) -> AnnotatorInputs:
    return AnnotatorInputs(
        engines={"strong": ScriptedEngine(choice_weights=answer)},
        labeled_pairs=tuple(labeled),
        features={pair.id: build_features(pair) for pair in (*LABELED, *NEW)},
    )


def build_annotator(**settings: object) -> CriteriaProbe:
    component = build_component("annotators", {"kind": "criteria_probe", "criteria": CRITERIA, **settings})
    assert isinstance(component, CriteriaProbe)
    return component


def annotate(pairs: Sequence[Pair], inputs: AnnotatorInputs, **settings: object) -> dict[str, Annotation]:
    labels = build_annotator(**settings).annotate(pairs, inputs)
    return {label.pair_id: label for label in labels}


def test_the_probes_replace_the_strong_model_on_new_pairs() -> None:
    inputs = build_inputs()
    labels = annotate(NEW, inputs)
    engine = inputs.engines["strong"]
    assert isinstance(engine, ScriptedEngine)
    asked = {request.prompt[-1].content for request in engine.requests}
    assert not any(pair.a in text for pair in NEW for text in asked)
    for pair in NEW:
        label = labels[pair.id]
        assert label.p_a is not None
        assert label.choice == pair.human
        assert label.margin == pytest.approx(math.log(label.p_a / (1 - label.p_a)))
        criteria = label.detail["criteria"]
        assert (criteria["polite"]["p_a"] > 0.5) == ("please" in pair.a)
        assert (criteria["long"]["p_a"] > 0.5) == (len(pair.a) > len(pair.b))


def test_the_weights_are_those_of_the_criterion_that_humans_go_by() -> None:
    labels = annotate(NEW, build_inputs())
    criteria = summarize_label_criteria(labels, get_human_choices(NEW), {pair.id: pair.prompt_id for pair in NEW})
    assert criteria["polite"].weight > 0.5
    assert abs(criteria["long"].weight) < 0.5 * criteria["polite"].weight
    assert criteria["polite"].metrics["agreement"].value == 1
    matches = criteria["polite"].metrics["answer_agreement"]
    assert (matches.value, matches.n) == (1, len(LABELED))
    assert "order_inconsistency" not in criteria["polite"].metrics
    assert not [name for name in compute_prompting_metrics(labels) if name.startswith("order_inconsistency")]


def test_a_probe_that_cannot_know_a_criterion_does_not_look_good_on_the_pairs_it_was_fitted_to() -> None:
    """With more dimensions than pairs, a probe fits any answers; the weights must come from pairs outside its folds."""
    draw = np.random.default_rng(0)
    noise = {
        pair.id: PairFeatures(values=draw.normal(size=200).astype(np.float32), tokens=11) for pair in (*LABELED, *NEW)
    }
    inputs = AnnotatorInputs(engines=build_inputs().engines, labeled_pairs=tuple(LABELED), features=noise)
    labels = annotate(NEW, inputs)
    criteria = summarize_label_criteria(labels, {}, {})
    for each in criteria.values():
        matches = each.metrics["answer_agreement"]
        assert matches.low is not None and matches.high is not None
        assert matches.low < 0.5 < matches.high
    assert np.mean([abs(label.margin or 0) for label in labels.values()]) < 1


def test_labels_do_not_depend_on_the_order_of_the_labeled_pairs() -> None:
    assert annotate(NEW[:3], build_inputs()) == annotate(NEW[:3], build_inputs(LABELED[::-1]))


def test_a_criterion_whose_answer_is_the_position_cannot_be_learned() -> None:
    label = annotate(NEW[:1], build_inputs(), criteria={**CRITERIA, "first": [FIRST]})[NEW[0].id]
    assert label.status == "failed"
    assert label.note == "the strong model does not prefer both a and b by first, on 60 labeled pairs"


def test_too_few_human_labels_and_hidden_states_that_are_not_finite_are_errors() -> None:
    with pytest.raises(DataError, match="criteria_probe: 19 labeled pairs"):
        annotate(NEW, build_inputs(LABELED[:19]))
    broken = PairFeatures(values=np.full(WIDTH, np.nan, dtype=np.float32), tokens=1)
    inputs = build_inputs()
    inputs = AnnotatorInputs(
        engines=inputs.engines,
        labeled_pairs=inputs.labeled_pairs,
        features={**inputs.features, LABELED[0].id: broken},
    )
    with pytest.raises(DataError, match=f"criteria_probe: the hidden states of labeled pair {LABELED[0].id}"):
        annotate(NEW, inputs)


def test_the_strong_model_that_cannot_answer_is_the_reason_of_failed_labels() -> None:
    silent = ScriptedEngine(choice_weights=lambda request, candidates: [math.nan, math.nan])
    inputs = build_inputs()
    inputs = AnnotatorInputs(engines={"strong": silent}, labeled_pairs=inputs.labeled_pairs, features=inputs.features)
    label = annotate(NEW[:1], inputs)[NEW[0].id]
    assert label.status == "failed"
    assert "0 of 60 labeled pairs" in label.note
