"""The contract of all built-in annotators; new ones are found by their files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from trimtab.core.annotator_inputs import AnnotatorInputs, PairFeatures, ResponseScores
from trimtab.core.component import Component, build_component, dump_component
from trimtab.core.component_loading import list_kinds
from trimtab.core.interfaces import Annotator
from trimtab.engines.scripted import ScriptedEngine
from trimtab.types import (
    Annotation,
    Choice,
    ChoiceScores,
    Cost,
    EngineRequest,
    Generation,
    Pair,
    build_user_prompt,
    format_conversation,
)

# Settings to test in addition to the defaults, or instead of them for kinds with required settings.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "aux_confidence": [{"weak": "one", "strong": "other"}, {"weak": "one", "strong": "other", "threshold": 0.8}],
    "random": [{}, {"seed": 4}],
    "consultancy": [
        {},
        {"argue_for": "random", "presentation_order": "random"},
        {"weak": {"kind": "scripted", "default_reply": "Hm."}},
    ],
    "criteria": [{"criteria": {"kind": ["Which is kinder?"], "right": ["Which is right?"]}}],
    "criteria_probe": [{"criteria": {"right": ["Which is right?"]}}],
    "debate": [{}, {"rounds": 1, "presentation_order": "most_confident", "principles": False}],
    "ensemble": [{"arms": ["one", "other"]}],
    "noisy_human": [{"arm": "weak", "seed": 3}, {"noise_rate": 0.3}],
    "implicit_reward": [{}, {"beta": 2.0, "policy": "one", "reference": "another"}],
    "length": [{}, {"tie_threshold": 2}, {"prefer": "shorter"}],
    "probe": [{}, {"self_training_rounds": 2, "self_training_fraction": 0.3}],
    "prompted": [
        {},
        {"presentation_order": "random", "preamble": "You are fair."},
        {"presentation_order": "most_confident", "max_reasoning_tokens": 9},
    ],
    "self_reward": [{}, {"answer_format": "digit", "shots": 2}],
    "vote": [
        {"arms": ["one", "other"]},
        {"arms": ["one", "other"], "by": "mean"},
        {"arms": ["one", "other", "third"], "by": "dawid_skene"},
    ],
}
# Their engines are asked about labeled pairs only.
FREE_OF_REQUESTS = {"criteria_probe"}
CASES = [{"kind": kind, **settings} for kind in list_kinds("annotators") for settings in SETTINGS.get(kind, [{}])]
WORDS = ("yes", "surely", "by no means", "nobody can know", "it does", "rarely", "in spring", "at noon")
OTHER: dict[Choice, Choice] = {"a": "b", "b": "a"}
every = pytest.mark.parametrize("settings", CASES, ids=lambda settings: yaml.safe_dump(settings).replace("\n", " "))


def pairs(count: int = 60, topic: str = "Question") -> list[Pair]:
    """Every sixth pair has no human label."""
    draw = random.Random(5)
    made = []
    for index in range(count):
        one, other = draw.sample(WORDS, 2)
        preferred: Literal["first", "second"] = "first" if draw.random() < 0.5 else "second"
        made.append(
            Pair.from_responses(
                build_user_prompt(f"{topic} {index}?"), one, other, None if index % 6 == 0 else preferred
            )
        )
    return made


PAIRS = pairs()
LABELED = pairs(topic="Old question")


def hash_number(*parts: str) -> float:
    """A number in [0, 1) that is a hash of the texts."""
    return int(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12], 16) / 16**12


def hashing_engine(name: str) -> ScriptedEngine:
    """An engine whose replies are a hash of the full request, so that order and position matter."""

    def reply(request: EngineRequest) -> str:
        return f"I would say {hash_number(name, format_conversation(request.prompt), request.prefill):.3f} of it."

    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        return [
            0.01 + hash_number(name, format_conversation(request.prompt), request.prefill, each) for each in candidates
        ]

    return ScriptedEngine(reply=reply, choice_weights=score)


class FailingEngine:
    """A server whose replies fail but have a cost."""

    def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]

    def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]


def is_about_labeled_pair(request: EngineRequest) -> bool:
    """Whether a request is about a pair that an annotator learns from."""
    return "Old question" in format_conversation(request.prompt)


def engine_names(annotator: Annotator) -> list[str]:
    return list(annotator.requirements().engines)


def inputs_for(annotator: Annotator) -> AnnotatorInputs:
    """Random tables, labels and engines for the annotator's requirements."""
    draw = random.Random(7)

    def scores() -> ResponseScores:
        return ResponseScores(a=draw.uniform(-40, -1), b=draw.uniform(-40, -1), n_a=4, n_b=6)

    def label(pair: Pair) -> Annotation:
        if draw.random() < 0.1:
            return Annotation(pair_id=pair.id, p_a=None, status="abstained")
        return Annotation(pair_id=pair.id, p_a=draw.random())

    def features() -> PairFeatures:
        return PairFeatures(values=np.array([draw.gauss(0, 1) for _ in range(6)], dtype=np.float32), tokens=9)

    return AnnotatorInputs(
        logprobs={model: {pair.id: scores() for pair in PAIRS} for model in annotator.requirements().logprob_models},
        engines={name: hashing_engine(name) for name in engine_names(annotator)},
        labels={arm: {pair.id: label(pair) for pair in PAIRS} for arm in annotator.requirements().arms},
        human_labels={pair.id: pair.human for pair in PAIRS if pair.human is not None},
        pairs={pair.id: pair for pair in PAIRS},
        labeled_pairs=LABELED,
        features={pair.id: features() for pair in (*PAIRS, *LABELED)},
        rewards={pair.id: scores() for pair in PAIRS},
    )


def swapped_pair(pair: Pair) -> Pair:
    return replace(pair, a=pair.b, b=pair.a, human=None if pair.human is None else OTHER[pair.human])


def swapped_label(label: Annotation) -> Annotation:
    return replace(
        label,
        p_a=None if label.p_a is None else 1 - label.p_a,
        margin=None if label.margin is None else -label.margin,
    )


def swapped_scores(table: Mapping[str, ResponseScores]) -> dict[str, ResponseScores]:
    return {key: ResponseScores(a=each.b, b=each.a, n_a=each.n_b, n_b=each.n_a) for key, each in table.items()}


def swapped_inputs(inputs: AnnotatorInputs) -> AnnotatorInputs:
    """The inputs for swapped pairs; labeled pairs are unchanged."""
    ours = {pair.id for pair in PAIRS}
    return AnnotatorInputs(
        logprobs={model: swapped_scores(table) for model, table in inputs.logprobs.items()},
        engines=inputs.engines,
        labels={arm: {key: swapped_label(each) for key, each in table.items()} for arm, table in inputs.labels.items()},
        human_labels={key: OTHER[choice] for key, choice in inputs.human_labels.items()},
        pairs={key: swapped_pair(pair) for key, pair in inputs.pairs.items()},
        labeled_pairs=inputs.labeled_pairs,
        features={
            key: PairFeatures(values=-row.values if key in ours else row.values, tokens=row.tokens)
            for key, row in inputs.features.items()
        },
        rewards=swapped_scores(inputs.rewards),
    )


def build_annotator(settings: dict[str, Any]) -> Annotator:
    component = build_component("annotators", settings)
    assert isinstance(component, Annotator)
    return component


@every
def test_an_annotator_returns_one_annotation_per_pair_in_order(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    labels = annotator.annotate(PAIRS, inputs_for(annotator))
    assert [label.pair_id for label in labels] == [pair.id for pair in PAIRS]
    assert any(label.status == "ok" for label in labels)


@every
def test_a_label_does_not_depend_on_other_pairs(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    inputs = inputs_for(annotator)
    whole = annotator.annotate(PAIRS, inputs)
    # one call per pair would fit the learning annotators 60 times
    some, rest = slice(0, None, 10), [index for index in range(len(PAIRS)) if index % 10]
    assert [label for pair in PAIRS[some] for label in annotator.annotate([pair], inputs)] == whole[some]
    assert annotator.annotate([PAIRS[index] for index in rest], inputs) == [whole[index] for index in rest]
    assert annotator.annotate(PAIRS[::-1], inputs) == whole[::-1]
    assert annotator.annotate([], inputs) == []


@every
def test_a_label_fails_with_a_note_if_the_engines_fail(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    if not engine_names(annotator):
        pytest.skip("it prompts no model")
    silent = replace(inputs_for(annotator), engines=dict.fromkeys(engine_names(annotator), FailingEngine()))
    asks = settings["kind"] not in FREE_OF_REQUESTS
    for label in annotator.annotate(PAIRS[:3], silent):
        assert (label.status, "timed out" in label.note, label.cost.calls > 0) == ("failed", True, asks)


@every
def test_a_labels_cost_is_the_sum_of_its_requests(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    if not engine_names(annotator):
        pytest.skip("it prompts no model")
    engines = {name: hashing_engine(name) for name in engine_names(annotator)}
    labels = annotator.annotate(PAIRS[:3], replace(inputs_for(annotator), engines=engines))
    requests = [each for engine in engines.values() for each in engine.requests if not is_about_labeled_pair(each)]
    assert sum(label.cost.calls for label in labels) == len(requests)


@every
def test_the_detail_of_a_label_is_json(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    for label in annotator.annotate(PAIRS[:6], inputs_for(annotator)):
        assert json.loads(json.dumps(label.detail)) == label.detail


@every
def test_swapped_responses_swap_the_label_of_a_symmetric_annotator(settings: dict[str, Any]) -> None:
    annotator = build_annotator(settings)
    if not getattr(annotator, "SYMMETRIC", False):
        pytest.skip("it does not claim to be symmetric")
    inputs = inputs_for(annotator)
    there = [swapped_label(label) for label in annotator.annotate(PAIRS, inputs)]
    back = annotator.annotate([swapped_pair(pair) for pair in PAIRS], swapped_inputs(inputs))
    assert [label.choice for label in back] == [label.choice for label in there]
    assert [label.p_a for label in back] == [pytest.approx(label.p_a) for label in there]
    assert [label.margin for label in back] == [pytest.approx(label.margin) for label in there]


@every
def test_the_settings_of_an_annotator_survive_yaml_and_back(settings: dict[str, Any]) -> None:
    component = build_component("annotators", settings)
    document = yaml.safe_load(yaml.safe_dump(dump_component(component)))
    assert document == settings
    assert build_component("annotators", document) == component


@every
def test_an_annotator_is_frozen_and_rejects_unknown_settings(settings: dict[str, Any]) -> None:
    component = build_component("annotators", settings)
    assert isinstance(component, Component)
    with pytest.raises(ValidationError, match="frozen"):
        component.seed = 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no_such_setting"):
        build_component("annotators", {**settings, "no_such_setting": 1})


def test_all_kinds_with_test_settings_exist() -> None:
    assert set(SETTINGS) <= set(list_kinds("annotators"))
