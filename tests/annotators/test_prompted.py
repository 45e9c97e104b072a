"""Asking which response is better, against means worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.annotators.prompted import Prompted
from trimtab.annotators.self_reward import SelfReward
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Engine
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import StudyError
from trimtab.types import (
    Annotation,
    ChoiceScores,
    Cost,
    EngineRequest,
    Generation,
    Pair,
    build_user_prompt,
    format_conversation,
)

PAIR = Pair(id="one", prompt=build_user_prompt("Name a color."), a="Blue.", b="Seven.")
SWAPPED = replace(PAIR, a=PAIR.b, b=PAIR.a)
PAIRS = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "yes", "no") for place in range(12)]
FIRST_IS_A = "<response_1>\nBlue."


def leaning(a_first: float, b_first: float) -> ScriptedEngine:
    """A model that gives the first response this share when it is `a`, and when it is `b`."""

    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        first = a_first if FIRST_IS_A in format_conversation(question.prompt) else b_first
        return [first, 1 - first]

    return ScriptedEngine(reply=lambda _: "Blue is a color.\n\nVerdict:\nResponse 1", choice_weights=weigh)


class Silent:
    """A server that answers nothing, at a price."""

    def generate(self, questions: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions]

    def score_choices(self, questions: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [
            ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions
        ]


def label(engine: Engine, pair: Pair = PAIR, **settings: Any) -> Annotation:
    (made,) = Prompted(**settings).annotate([pair], AnnotatorInputs(engines={"weak": engine}))
    return made


def test_the_probability_is_the_mean_over_both_orders() -> None:
    # a is given 0.9 as Response 1 and 1 - 0.3 as Response 2
    made = label(leaning(0.9, 0.3))
    assert made.p_a == pytest.approx((0.9 + 0.7) / 2)
    assert made.detail["p_a_by_order"] == pytest.approx({"a_first": 0.9, "b_first": 0.7})
    assert made.detail["order_inconsistent"] is False


def test_a_model_that_always_says_the_first_abstains_and_is_flagged() -> None:
    made = label(leaning(0.83, 0.83))
    assert (made.status, made.p_a, made.choice) == ("abstained", None, None)
    assert sum(made.detail["p_a_by_order"].values()) / 2 == pytest.approx(0.5)
    assert made.detail["order_inconsistent"] is True
    assert made.note == "tie: the two orders contradict each other"


@pytest.mark.parametrize("share", [place / 97 for place in range(1, 97)])
def test_what_stands_in_one_slot_alone_cancels_without_a_rounding_error(share: float) -> None:
    assert label(leaning(share, share)).status == "abstained"


def test_a_label_says_how_few_draws_it_was_counted_over() -> None:
    counts = [8, 5]

    class Drawn(ScriptedEngine):
        def score_choices(self, questions: Sequence[EngineRequest], candidates: Any, **how: Any) -> list[ChoiceScores]:
            found = ScriptedEngine.score_choices(self, questions, candidates, **how)
            return [
                replace(each, logprobs=None, tokens=None, samples=count)
                for each, count in zip(found, counts, strict=True)
            ]

    made = label(
        Drawn(choice_weights=lambda *_: [0.9, 0.1] if FIRST_IS_A in format_conversation(_[0].prompt) else [0.2, 0.8])
    )
    assert (made.detail["samples"], made.note) == (5, "probabilities estimated from 5 samples")
    told = label(leaning(0.9, 0.3))
    assert ("samples" in told.detail, told.note) == (False, "")


def test_orders_that_contradict_each_other_are_flagged_though_the_surer_one_prevails() -> None:
    made = label(leaning(0.9, 0.6))
    assert made.p_a == pytest.approx(0.65)
    assert made.detail["order_inconsistent"] is True


@pytest.mark.parametrize(("a_first", "b_first", "p_a"), [(0.9, 0.6, 0.9), (0.6, 0.9, 0.1), (0.6, 0.2, 0.8)])
def test_the_surer_order_can_decide_alone(a_first: float, b_first: float, p_a: float) -> None:
    assert label(leaning(a_first, b_first), presentation_order="most_confident").p_a == pytest.approx(p_a)


def test_two_orders_that_are_equally_sure_of_opposites_abstain() -> None:
    assert label(leaning(0.75, 0.75), presentation_order="most_confident").status == "abstained"
    assert label(leaning(0.75, 0.25), presentation_order="most_confident").p_a == 0.75


@pytest.mark.parametrize("orders", ["both", "random", "most_confident"])
def test_swapped_responses_swap_the_label_of_a_model_that_is_swayed_by_position(orders: str) -> None:
    engine = leaning(0.9, 0.4)
    there, back = label(engine, presentation_order=orders), label(engine, SWAPPED, presentation_order=orders)
    assert there.p_a is not None and back.p_a is not None
    assert back.p_a == pytest.approx(1 - there.p_a)


def test_one_order_is_one_question_and_each_response_stands_first_somewhere() -> None:
    engine = ScriptedEngine(choice_weights=lambda _, candidates: [2.0, 1.0])
    made = Prompted(presentation_order="random").annotate(PAIRS, AnnotatorInputs(engines={"weak": engine}))
    assert len(engine.requests) == len(PAIRS)
    assert {each.choice for each in made} == {"a", "b"}
    assert all(list(each.detail) == ["p_a_by_order"] and len(each.detail["p_a_by_order"]) == 1 for each in made)


def test_reasoning_is_written_for_all_before_any_verdict_is_weighed() -> None:
    engine = leaning(0.9, 0.3)
    made = Prompted(max_reasoning_tokens=40).annotate([PAIR, SWAPPED], AnnotatorInputs(engines={"weak": engine}))
    assert [each.prefill for each in engine.requests[:4]] == ["Reasoning:\n"] * 4
    assert [each.prefill for each in engine.requests[4:]] == ["Reasoning:\nBlue is a color.\n\nVerdict:\n"] * 4
    assert made[0].detail["reasoning"] == {"a_first": "Blue is a color.", "b_first": "Blue is a color."}


def test_reasoning_is_no_longer_than_asked_for() -> None:
    made = label(leaning(0.9, 0.3), max_reasoning_tokens=2)
    assert made.detail["reasoning"]["a_first"] == "Blue is"


@pytest.mark.parametrize("tokens", [0, 40])
def test_a_cost_is_that_of_every_question(tokens: int) -> None:
    engine = leaning(0.9, 0.3)
    cost = label(engine, max_reasoning_tokens=tokens).cost
    read = [format_conversation(each.prompt) + " " + each.prefill for each in engine.requests]
    assert (cost.calls, len(read)) == ((2, 2) if not tokens else (4, 4))
    assert cost.prompt_tokens == sum(len(each.split()) for each in read)
    assert (cost.generated_tokens > 0) is (tokens > 0)


@pytest.mark.parametrize(("tokens", "note"), [(0, "no verdict: timed out"), (40, "generation failed: timed out")])
def test_a_question_that_was_not_answered_fails_the_pair_and_nothing_more_is_asked(tokens: int, note: str) -> None:
    made = label(Silent(), max_reasoning_tokens=tokens)
    assert (made.status, made.p_a, made.note, made.cost.calls) == ("failed", None, note, 2)


def test_shares_that_are_no_numbers_fail_and_are_never_a_guess() -> None:
    made = label(ScriptedEngine(choice_weights=lambda _, candidates: [math.nan, 1.0]))
    assert (made.status, made.note) == ("failed", "no verdict: probabilities [nan, nan]")


def test_the_strong_model_is_asked_in_the_same_words() -> None:
    weak, strong = leaning(0.9, 0.3), leaning(0.9, 0.3)
    settings: dict[str, Any] = {
        "shots": 2,
        "answer_format": "digit",
        "max_reasoning_tokens": 9,
        "preamble": "You are fair.",
    }
    by_weak = Prompted(**settings).annotate([PAIR], AnnotatorInputs(engines={"weak": weak}))
    by_strong = SelfReward(**settings).annotate([PAIR], AnnotatorInputs(engines={"strong": strong}))
    assert (by_weak, weak.requests) == (by_strong, strong.requests)


def test_it_asks_the_models_that_it_names() -> None:
    assert dump_component(Prompted().requirements().engines["weak"]) == {"kind": "transformers", "model": "@weak"}
    assert dump_component(SelfReward().requirements().engines["strong"]) == {
        "kind": "transformers",
        "model": "@student",
    }
    other = build_component("annotators", {"kind": "prompted", "weak": "gemma3-270m"})
    assert isinstance(other, Prompted)
    assert dump_component(other.requirements().engines["weak"]) == {"kind": "transformers", "model": "gemma3-270m"}


@pytest.mark.parametrize(
    "settings",
    [{"shots": 12}, {"presentation_order": "none"}, {"max_reasoning_tokens": -1}, {"answer_format": "letter"}],
)
@pytest.mark.parametrize("kind", ["prompted", "self_reward"])
def test_settings_out_of_range_are_refused(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=next(iter(settings))):
        build_component("annotators", {"kind": kind, **settings})


OWN = """
- name: Brevity
  group: helpful
  text: It says what is asked and stops.
  demonstration: {prompt: "What color?", better: "Red.", worse: "Red, or so.", why_better: Short., why_worse: Long.}
"""


def test_principles_of_your_own_are_those_that_are_asked_by(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    engine = leaning(0.5, 0.5)
    label(engine, principles=str(path), shots=1)
    text = format_conversation(engine.requests[0].prompt)
    assert "- Brevity: It says what is asked and stops." in text
    assert "Red, or so." in text
    assert "Informative" not in text


def test_labels_are_known_by_the_text_of_their_principles(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    before = Prompted(principles=str(path)).content_hash()
    path.write_text(OWN.replace("and stops", "no more"))
    changed = Prompted(principles=str(path)).content_hash()
    assert len({before, changed, Prompted().content_hash(), Prompted(principles=False).content_hash()}) == 4
    assert SelfReward().content_hash() == Prompted().content_hash()


def test_more_examples_than_there_are_principles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the built-in principles have 11 worked examples, got 12"):
        build_component("annotators", {"kind": "prompted", "shots": 12})
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    annotator = build_component("annotators", {"kind": "prompted", "principles": str(path), "shots": 2})
    assert isinstance(annotator, Prompted)
    for planned in (annotator.content_hash, annotator.training_task):  # before anything is trained or asked
        with pytest.raises(StudyError, match=r"shots: .*mine\.yaml has 1 worked examples, got 2"):
            planned()
    assert Prompted(principles=str(path), shots=1).content_hash()
