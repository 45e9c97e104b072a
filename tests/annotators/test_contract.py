"""What every annotator that ships promises: it is found by its file, and this page need not be told of it."""

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
from trimtab.core.component import Component, build_component, dump_component, list_kinds
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

# Settings to try beside the defaults, and instead of them where a kind has none.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "aux_confidence": [{"weak": "one", "strong": "other"}, {"weak": "one", "strong": "other", "threshold": 0.8}],
    "random": [{}, {"seed": 4}],
    "consultancy": [
        {},
        {"argue_for": "random", "presentation_order": "random"},
        {"weak": {"kind": "scripted", "default_reply": "Hm."}},
    ],
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
CASES = [{"kind": kind, **settings} for kind in list_kinds("annotators") for settings in SETTINGS.get(kind, [{}])]
WORDS = ("yes", "surely", "by no means", "nobody can know", "it does", "rarely", "in spring", "at noon")
OTHER: dict[Choice, Choice] = {"a": "b", "b": "a"}
every = pytest.mark.parametrize("settings", CASES, ids=lambda settings: yaml.safe_dump(settings).replace("\n", " "))


def pairs(count: int = 60, topic: str = "Question") -> list[Pair]:
    """Every sixth pair has no human label."""
    draw = random.Random(5)
    made = []
    for place in range(count):
        one, other = draw.sample(WORDS, 2)
        preferred: Literal["first", "second"] = "first" if draw.random() < 0.5 else "second"
        made.append(
            Pair.from_responses(
                build_user_prompt(f"{topic} {place}?"), one, other, None if place % 6 == 0 else preferred
            )
        )
    return made


PAIRS = pairs()
LABELED = pairs(topic="Old question")


def draw_for(*parts: str) -> float:
    """A number in [0, 1) that follows from the texts alone."""
    return int(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12], 16) / 16**12


def opinionated(name: str) -> ScriptedEngine:
    """A model whose answers follow from every letter that it is asked, so that order and position sway it."""

    def write(question: EngineRequest) -> str:
        return f"I would say {draw_for(name, format_conversation(question.prompt), question.prefill):.3f} of it."

    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        return [
            0.01 + draw_for(name, format_conversation(question.prompt), question.prefill, each) for each in candidates
        ]

    return ScriptedEngine(reply=write, choice_weights=weigh)


class Silent:
    """A server that answers nothing, at a price."""

    def generate(self, questions: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions]

    def score_choices(self, questions: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [
            ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions
        ]


def asked_of(asked: Annotator) -> list[str]:
    return list(asked.requirements().engines)


def given_for(asked: Annotator) -> AnnotatorInputs:
    """Made-up tables, labels and models under the names that the annotator asks for."""
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
        logprobs={model: {pair.id: scores() for pair in PAIRS} for model in asked.requirements().logprob_models},
        engines={name: opinionated(name) for name in asked_of(asked)},
        labels={arm: {pair.id: label(pair) for pair in PAIRS} for arm in asked.requirements().arms},
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


def swapped_given(given: AnnotatorInputs) -> AnnotatorInputs:
    """The same of the swapped pairs; the labeled pairs, of which an annotator learns, stay as they were."""
    ours = {pair.id for pair in PAIRS}
    return AnnotatorInputs(
        logprobs={model: swapped_scores(table) for model, table in given.logprobs.items()},
        engines=given.engines,
        labels={arm: {key: swapped_label(each) for key, each in table.items()} for arm, table in given.labels.items()},
        human_labels={key: OTHER[choice] for key, choice in given.human_labels.items()},
        pairs={key: swapped_pair(pair) for key, pair in given.pairs.items()},
        labeled_pairs=given.labeled_pairs,
        features={
            key: PairFeatures(values=-row.values if key in ours else row.values, tokens=row.tokens)
            for key, row in given.features.items()
        },
        rewards=swapped_scores(given.rewards),
    )


def annotator(settings: dict[str, Any]) -> Annotator:
    made = build_component("annotators", settings)
    assert isinstance(made, Annotator)
    return made


@every
def test_an_annotator_gives_one_annotation_a_pair_in_order(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    labels = asked.annotate(PAIRS, given_for(asked))
    assert [label.pair_id for label in labels] == [pair.id for pair in PAIRS]
    assert any(label.status == "ok" for label in labels)


@every
def test_a_label_does_not_depend_on_the_pairs_beside_it(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    given = given_for(asked)
    whole = asked.annotate(PAIRS, given)
    assert [label for pair in PAIRS for label in asked.annotate([pair], given)] == whole
    assert asked.annotate(PAIRS[::-1], given) == whole[::-1]
    assert asked.annotate([], given) == []


@every
def test_a_label_is_failed_with_a_note_where_the_models_do_not_answer(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    if not asked_of(asked):
        pytest.skip("it asks no model")
    silent = replace(given_for(asked), engines=dict.fromkeys(asked_of(asked), Silent()))
    for label in asked.annotate(PAIRS[:3], silent):
        assert (label.status, "timed out" in label.note, label.cost.calls > 0) == ("failed", True, True)


@every
def test_a_label_costs_what_all_its_questions_cost(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    if not asked_of(asked):
        pytest.skip("it asks no model")
    engines = {name: opinionated(name) for name in asked_of(asked)}
    labels = asked.annotate(PAIRS[:3], replace(given_for(asked), engines=engines))
    assert sum(label.cost.calls for label in labels) == sum(len(each.requests) for each in engines.values())


@every
def test_what_a_label_tells_can_be_kept_as_json(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    for label in asked.annotate(PAIRS[:6], given_for(asked)):
        assert json.loads(json.dumps(label.detail)) == label.detail


@every
def test_swapped_responses_swap_the_label_where_an_annotator_says_so(settings: dict[str, Any]) -> None:
    asked = annotator(settings)
    if not getattr(asked, "SYMMETRIC", False):
        pytest.skip("it does not say that it is symmetric")
    given = given_for(asked)
    there = [swapped_label(label) for label in asked.annotate(PAIRS, given)]
    back = asked.annotate([swapped_pair(pair) for pair in PAIRS], swapped_given(given))
    assert [label.choice for label in back] == [label.choice for label in there]
    assert [label.p_a for label in back] == [pytest.approx(label.p_a) for label in there]
    assert [label.margin for label in back] == [pytest.approx(label.margin) for label in there]


@every
def test_the_settings_of_an_annotator_survive_yaml_and_back(settings: dict[str, Any]) -> None:
    made = build_component("annotators", settings)
    document = yaml.safe_load(yaml.safe_dump(dump_component(made)))
    assert document == settings
    assert build_component("annotators", document) == made


@every
def test_an_annotator_is_frozen_and_refuses_settings_that_it_has_not(settings: dict[str, Any]) -> None:
    made = build_component("annotators", settings)
    assert isinstance(made, Component)
    with pytest.raises(ValidationError, match="frozen"):
        made.seed = 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no_such_setting"):
        build_component("annotators", {**settings, "no_such_setting": 1})


def test_no_setting_is_tried_on_an_annotator_that_is_not_there() -> None:
    assert set(SETTINGS) <= set(list_kinds("annotators"))
