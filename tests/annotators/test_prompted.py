"""Prompted labels, against manually computed means."""

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
PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}?"), "yes", "no") for index in range(12)]
FIRST_IS_A = "<response_1>\nBlue."


def biased_engine(a_first: float, b_first: float) -> ScriptedEngine:
    """An engine with these probabilities of Response 1 when it is `a`, and when it is `b`."""

    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        first = a_first if FIRST_IS_A in format_conversation(request.prompt) else b_first
        return [first, 1 - first]

    return ScriptedEngine(reply=lambda _: "Blue is a color.\n\nVerdict:\nResponse 1", choice_weights=score)


class FailingEngine:
    """A server whose replies fail but have a cost."""

    def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]

    def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]


def label(engine: Engine, pair: Pair = PAIR, **settings: Any) -> Annotation:
    (made,) = Prompted(**settings).annotate([pair], AnnotatorInputs(engines={"weak": engine}))
    return made


def test_the_probability_is_the_mean_over_both_orders() -> None:
    # a has probability 0.9 as Response 1 and 1 - 0.3 as Response 2
    made = label(biased_engine(0.9, 0.3))
    assert made.p_a == pytest.approx((0.9 + 0.7) / 2)
    assert made.detail["p_a_by_order"] == pytest.approx({"a_first": 0.9, "b_first": 0.7})
    assert made.detail["order_inconsistent"] is False


def test_a_model_with_pure_position_bias_abstains_and_is_flagged() -> None:
    made = label(biased_engine(0.83, 0.83))
    assert (made.status, made.p_a, made.choice) == ("abstained", None, None)
    assert sum(made.detail["p_a_by_order"].values()) / 2 == pytest.approx(0.5)
    assert made.detail["order_inconsistent"] is True
    assert made.note == "tie: the two orders contradict each other"


@pytest.mark.parametrize("share", [index / 97 for index in range(1, 97)])
def test_pure_position_bias_cancels_without_rounding_errors(share: float) -> None:
    assert label(biased_engine(share, share)).status == "abstained"


def test_a_label_states_the_smallest_number_of_samples() -> None:
    counts = [8, 5]

    class Drawn(ScriptedEngine):
        def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **how: Any) -> list[ChoiceScores]:
            found = ScriptedEngine.score_choices(self, requests, candidates, **how)
            return [
                replace(each, logprobs=None, tokens=None, samples=count)
                for each, count in zip(found, counts, strict=True)
            ]

    made = label(
        Drawn(choice_weights=lambda *_: [0.9, 0.1] if FIRST_IS_A in format_conversation(_[0].prompt) else [0.2, 0.8])
    )
    assert (made.detail["samples"], made.note) == (5, "probabilities estimated from 5 samples")
    made = label(biased_engine(0.9, 0.3))
    assert ("samples" in made.detail, made.note) == (False, "")


def test_contradicting_orders_are_flagged_even_if_one_is_more_confident() -> None:
    made = label(biased_engine(0.9, 0.6))
    assert made.p_a == pytest.approx(0.65)
    assert made.detail["order_inconsistent"] is True


@pytest.mark.parametrize(("a_first", "b_first", "p_a"), [(0.9, 0.6, 0.9), (0.6, 0.9, 0.1), (0.6, 0.2, 0.8)])
def test_the_more_confident_order_can_decide_alone(a_first: float, b_first: float, p_a: float) -> None:
    assert label(biased_engine(a_first, b_first), presentation_order="most_confident").p_a == pytest.approx(p_a)


def test_orders_with_equal_confidence_in_opposite_responses_abstain() -> None:
    assert label(biased_engine(0.75, 0.75), presentation_order="most_confident").status == "abstained"
    assert label(biased_engine(0.75, 0.25), presentation_order="most_confident").p_a == 0.75


@pytest.mark.parametrize("orders", ["both", "random", "most_confident"])
def test_swapped_responses_swap_the_label_of_a_model_with_position_bias(orders: str) -> None:
    engine = biased_engine(0.9, 0.4)
    there, back = label(engine, presentation_order=orders), label(engine, SWAPPED, presentation_order=orders)
    assert there.p_a is not None and back.p_a is not None
    assert back.p_a == pytest.approx(1 - there.p_a)


def test_a_random_order_is_one_request_and_either_response_may_be_first() -> None:
    engine = ScriptedEngine(choice_weights=lambda _, candidates: [2.0, 1.0])
    made = Prompted(presentation_order="random").annotate(PAIRS, AnnotatorInputs(engines={"weak": engine}))
    assert len(engine.requests) == len(PAIRS)
    assert {each.choice for each in made} == {"a", "b"}
    assert all(list(each.detail) == ["p_a_by_order"] and len(each.detail["p_a_by_order"]) == 1 for each in made)


def test_all_reasoning_is_generated_before_any_verdict_is_scored() -> None:
    engine = biased_engine(0.9, 0.3)
    made = Prompted(max_reasoning_tokens=40).annotate([PAIR, SWAPPED], AnnotatorInputs(engines={"weak": engine}))
    assert [each.prefill for each in engine.requests[:4]] == ["Reasoning:\n"] * 4
    assert [each.prefill for each in engine.requests[4:]] == ["Reasoning:\nBlue is a color.\n\nVerdict:\n"] * 4
    assert made[0].detail["reasoning"] == {"a_first": "Blue is a color.", "b_first": "Blue is a color."}


def test_reasoning_respects_the_token_limit() -> None:
    made = label(biased_engine(0.9, 0.3), max_reasoning_tokens=2)
    assert made.detail["reasoning"]["a_first"] == "Blue is"


@pytest.mark.parametrize("tokens", [0, 40])
def test_the_cost_counts_both_steps(tokens: int) -> None:
    engine = biased_engine(0.9, 0.3)
    cost = label(engine, max_reasoning_tokens=tokens).cost
    read = [format_conversation(each.prompt) + " " + each.prefill for each in engine.requests]
    assert (cost.calls, len(read)) == ((2, 2) if not tokens else (4, 4))
    assert cost.prompt_tokens == sum(len(each.split()) for each in read)
    assert (cost.generated_tokens > 0) is (tokens > 0)


@pytest.mark.parametrize(("tokens", "note"), [(0, "no verdict: timed out"), (40, "generation failed: timed out")])
def test_a_failed_request_fails_the_pair_without_further_requests(tokens: int, note: str) -> None:
    made = label(FailingEngine(), max_reasoning_tokens=tokens)
    assert (made.status, made.p_a, made.note, made.cost.calls) == ("failed", None, note, 2)


def test_nan_probabilities_fail_the_label() -> None:
    made = label(ScriptedEngine(choice_weights=lambda _, candidates: [math.nan, 1.0]))
    assert (made.status, made.note) == ("failed", "no verdict: probabilities [nan, nan]")


def test_self_reward_uses_the_same_prompt() -> None:
    weak, strong = biased_engine(0.9, 0.3), biased_engine(0.9, 0.3)
    settings: dict[str, Any] = {
        "shots": 2,
        "answer_format": "digit",
        "max_reasoning_tokens": 9,
        "preamble": "You are fair.",
    }
    by_weak = Prompted(**settings).annotate([PAIR], AnnotatorInputs(engines={"weak": weak}))
    by_strong = SelfReward(**settings).annotate([PAIR], AnnotatorInputs(engines={"strong": strong}))
    assert (by_weak, weak.requests) == (by_strong, strong.requests)


def test_it_requires_the_engines_in_its_settings() -> None:
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
def test_settings_out_of_range_are_rejected(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=next(iter(settings))):
        build_component("annotators", {"kind": kind, **settings})


OWN = """
- name: Brevity
  group: helpful
  text: It says what is asked and stops.
  demonstration: {prompt: "What color?", better: "Red.", worse: "Red, or so.", why_better: Short., why_worse: Long.}
"""


def test_custom_principles_are_in_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    engine = biased_engine(0.5, 0.5)
    label(engine, principles=str(path), shots=1)
    text = format_conversation(engine.requests[0].prompt)
    assert "- Brevity: It says what is asked and stops." in text
    assert "Red, or so." in text
    assert "Informative" not in text


def test_the_content_hash_covers_the_principles(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    before = Prompted(principles=str(path)).content_hash()
    path.write_text(OWN.replace("and stops", "no more"))
    changed = Prompted(principles=str(path)).content_hash()
    assert len({before, changed, Prompted().content_hash(), Prompted(principles=False).content_hash()}) == 4
    assert SelfReward().content_hash() == Prompted().content_hash()


def test_more_shots_than_principles_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the built-in principles have 11 worked examples, got 12"):
        build_component("annotators", {"kind": "prompted", "shots": 12})
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    annotator = build_component("annotators", {"kind": "prompted", "principles": str(path), "shots": 2})
    assert isinstance(annotator, Prompted)
    for planned in (annotator.content_hash, annotator.training_task):  # before any training or request
        with pytest.raises(StudyError, match=r"shots: .*mine\.yaml has 1 worked examples, got 2"):
            planned()
    assert Prompted(principles=str(path), shots=1).content_hash()
