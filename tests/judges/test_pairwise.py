"""The judge is queried in both orders, and a verdict that cannot be parsed makes the comparison failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Engine, Judge
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import StudyError
from trimtab.judges.pairwise import Pairwise
from trimtab.types import ChoiceScores, Comparison, Cost, EngineRequest, Generation, Verdict, build_user_prompt

COMPARISON = Comparison(id="one", prompt=build_user_prompt("Name a color."), candidate="Blue.", baseline="Seven.")
SWAPPED = Comparison(id="one", prompt=COMPARISON.prompt, candidate="Seven.", baseline="Blue.")
SCRIPTED = {"kind": "scripted"}


def build_judge(**settings: Any) -> Pairwise:
    component = build_component("judges", {"kind": "pairwise", "engine": SCRIPTED, **settings})
    assert isinstance(component, Pairwise)
    return component


def judge(engine: Engine, comparison: Comparison = COMPARISON, **settings: Any) -> Verdict:
    (result,) = build_judge(**settings).judge([comparison], {"judge": engine})
    return result


def blue_first(request: EngineRequest) -> bool:
    return "<response_1>\nBlue." in request.prompt[-1].content


def weighting(forward: Sequence[float], backward: Sequence[float]) -> ScriptedEngine:
    """Gives these weights when the good response is first, and these when it is second."""
    return ScriptedEngine(choice_weights=lambda request, _: forward if blue_first(request) else backward)


def replying(forward: str, backward: str) -> ScriptedEngine:
    return ScriptedEngine(reply=lambda request: forward if blue_first(request) else backward)


def test_it_is_a_judge_with_one_engine() -> None:
    component = build_judge()
    assert isinstance(component, Judge)
    assert dump_component(component.requirements().engines["judge"]) == SCRIPTED
    assert build_component("judges", dump_component(component)) == component
    assert dump_component(build_judge(engine="gemma3-270m").requirements().engines["judge"]) == {
        "kind": "transformers",
        "model": "gemma3-270m",
    }


@pytest.mark.parametrize(
    ("forward", "backward", "outcome", "inconsistent"),
    [
        ((0.9, 0.1), (0.2, 0.8), "win", False),
        ((0.4, 0.6), (0.7, 0.3), "loss", False),
        ((0.9, 0.1), (0.6, 0.4), "tie", True),  # the first position twice
        ((0.1, 0.9), (0.3, 0.7), "tie", True),
        ((0.5, 0.5), (0.3, 0.7), "win", False),  # a tie, then the candidate
        ((0.5, 0.5), (0.5, 0.5), "tie", False),
    ],
)
def test_verdicts_come_from_probabilities_in_both_orders(
    forward: Sequence[float], backward: Sequence[float], outcome: str, inconsistent: bool
) -> None:
    engine = weighting(forward, backward)
    result = judge(engine)
    assert (result.outcome, result.is_order_inconsistent, result.note) == (outcome, inconsistent, "")
    assert len(engine.requests) == 2
    assert result.forward is not None and result.reversed is not None
    assert (result.forward.probability_first, result.reversed.probability_first) == (forward[0], backward[0])


def test_swapped_responses_swap_the_outcome() -> None:
    assert judge(weighting((0.9, 0.1), (0.2, 0.8)), SWAPPED).outcome == "loss"


def test_allow_ties_adds_a_tie_to_the_candidates() -> None:
    result = judge(weighting((0.1, 0.2, 0.7), (0.1, 0.6, 0.3)), allow_ties=True)
    assert result.forward is not None and result.forward.choice == "tie"
    assert result.outcome == "win"


@pytest.mark.parametrize(
    "text", ["Response 1", "**Response 1**.", "[[Response 1]]", "1", "Response 1 is better.\nWhy: …"]
)
def test_a_generated_verdict_is_parsed(text: str) -> None:
    result = judge(replying(text, text.replace("1", "2")), mode="text")
    assert result.outcome == "win"
    assert result.forward is not None and result.forward.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Blue is a color.",
        "Response 1 or Response 2",
        "Response 1 is no better than Response 2.",
        "Not Response 1",
        "Response 3",
        "Tie",  # was not offered
        "Response 12",
    ],
)
def test_an_unparsable_verdict_is_failed_with_its_text_and_never_a_tie(text: str) -> None:
    result = judge(replying("Response 1", text), mode="text")
    assert (result.outcome, result.note, result.is_order_inconsistent) == ("failed", "no verdict could be parsed", None)
    assert result.reversed is not None and (result.reversed.choice, result.reversed.text) == (None, text)


@pytest.mark.parametrize("thought", ["<think>\nResponse 2 is better\n</think>\n", "Response 2\n</think>\n\n"])
def test_no_verdict_is_parsed_from_a_thought(thought: str) -> None:
    assert judge(replying(f"{thought}Response 1", f"{thought}Response 2"), mode="text").outcome == "win"
    assert (
        judge(
            replying(f"{thought}7\nResponse 2: 4", f"{thought}3\nResponse 2: 8"), mode="text", output_format="scores"
        ).outcome
        == "win"
    )
    assert judge(replying(thought, "<think>\nResponse 1"), mode="text").outcome == "failed"


def test_a_generated_tie_counts_if_ties_are_allowed() -> None:
    assert judge(replying("Tie", "Response 2"), mode="text", allow_ties=True).outcome == "win"


@pytest.mark.parametrize(
    ("forward", "backward", "outcome"),
    [
        ("7\nScore of Response 2:\n4", "3\nScore of Response 2:\n8", "win"),
        ("7/10\n\nResponse 2: 7/10", "3\nScore of Response 2:\n3.0", "tie"),
        ("2. Score of Response 2: 9", "10\nScore of Response 2:\n1", "loss"),
        ("7\nScore of Response 2:\n11", "3\nScore of Response 2:\n8", "failed"),
        ("0\nScore of Response 2:\n4", "3\nScore of Response 2:\n8", "failed"),
        ("7", "3\nScore of Response 2:\n8", "failed"),
        ("good\nScore of Response 2:\n4", "3\nScore of Response 2:\n8", "failed"),
    ],
)
def test_scores_are_parsed_from_text_and_must_be_on_the_scale(forward: str, backward: str, outcome: str) -> None:
    assert judge(replying(forward, backward), mode="text", output_format="scores").outcome == outcome


def test_scores_from_probabilities_are_expected_scores() -> None:
    def weigh(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        assert list(candidates) == [str(item) for item in range(1, 11)]
        good = blue_first(request) == request.prefill.endswith("Response 1:\n")
        return [0, 0, 0, 0, 0, 0, 1, 0, 3, 0] if good else [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]

    engine = ScriptedEngine(choice_weights=weigh)
    result = judge(engine, output_format="scores")
    assert result.forward is not None and result.reversed is not None
    assert result.forward.scores == pytest.approx(((7 + 3 * 9) / 4, 1.5))
    assert result.reversed.scores == pytest.approx((1.5, 8.5))
    assert (result.outcome, len(engine.requests)) == ("win", 4)


def test_all_reasoning_is_generated_before_any_verdict_and_is_recorded() -> None:
    engine = ScriptedEngine(
        reply=lambda _: "Blue is one.\n\nVerdict:\nResponse 2",
        choice_weights=lambda request, _: [1, 0] if blue_first(request) else [0, 1],
    )
    result = judge(engine, max_reasoning_tokens=40)
    assert [item.prefill for item in engine.requests] == ["Reasoning:\n"] * 2 + [
        "Reasoning:\nBlue is one.\n\nVerdict:\n"
    ] * 2
    assert result.forward is not None and result.forward.text == "Blue is one."
    assert result.outcome == "win"


def test_the_cost_includes_every_request() -> None:
    result = judge(replying("Response 1", "Response 2"), mode="text", max_reasoning_tokens=5)
    assert (result.cost.calls, result.cost.generated_tokens) == (4, 8)


def test_identical_responses_tie_at_no_cost() -> None:
    engine = weighting((0.9, 0.1), (0.9, 0.1))
    same = Comparison(id="two", prompt=build_user_prompt("Name a color."), candidate="Blue.", baseline="Blue.")
    result = build_judge().judge([same, COMPARISON, same], {"judge": engine})
    assert [item.id for item in result] == ["two", "one", "two"]
    assert (result[0].outcome, result[0].is_order_inconsistent, result[0].cost) == ("tie", None, Cost())
    assert len(engine.requests) == 2


class FailingEngine:
    """An engine whose requests all fail, at a cost."""

    def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]

    def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({}, "no verdict: timed out"),
        ({"mode": "text"}, "generation failed: timed out"),
        ({"max_reasoning_tokens": 9}, "generation failed: timed out"),
        ({"output_format": "scores"}, "no verdict: timed out"),
    ],
)
def test_a_failed_request_fails_the_comparison_and_sends_no_more_requests(settings: dict[str, Any], note: str) -> None:
    result = judge(FailingEngine(), **settings)
    assert (result.outcome, result.note, result.cost.calls) == ("failed", note, 2)


def test_nan_probabilities_fail() -> None:
    assert judge(weighting((math.nan, 1.0), (0.2, 0.8))).outcome == "failed"


@dataclass
class SeededEngine:
    """An engine whose replies depend on the seed of the call."""

    reply: Callable[[int, bool], str]
    seeds: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[EngineRequest], *, seed: int = 0, **_: Any) -> list[Generation]:
        self.seeds.append(seed)
        return [Generation(text=self.reply(seed, blue_first(item)), cost=Cost(calls=1)) for item in requests]

    def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        raise AssertionError("mode text scores no candidates")


SAMPLED: dict[str, Any] = {"mode": "text", "temperature": 1.0, "votes": 3, "seed": 7}


def test_each_vote_has_its_own_seed_and_the_majority_counts() -> None:
    engine = SeededEngine(lambda seed, blue: "Response 1" if blue == (seed != 8) else "Response 2")
    result = judge(engine, **SAMPLED)
    assert engine.seeds == [7, 8, 9]
    assert result.forward is not None and result.reversed is not None
    assert result.forward.votes == ("first", "second", "first")
    assert result.reversed.votes == ("second", "first", "second")
    assert (result.outcome, result.cost.calls) == ("win", 6)


def test_votes_in_mode_logits_are_samples_of_one_query() -> None:
    engine = weighting((0.8, 0.2), (0.5, 0.5))
    result = judge(engine, temperature=1.0, votes=1000)
    assert (len(engine.requests), result.cost.calls) == (2, 2)
    assert result.forward is not None and result.reversed is not None
    assert result.forward.votes.count("first") == pytest.approx(800, abs=40)  # three standard deviations
    assert result.reversed.votes.count("first") == pytest.approx(500, abs=50)
    assert result == judge(weighting((0.8, 0.2), (0.5, 0.5)), temperature=1.0, votes=1000)


def test_a_low_temperature_makes_the_likely_verdict_more_frequent_and_an_impossible_one_never_occurs() -> None:
    # 0.6² / (0.6² + 0.4²)
    cold = judge(weighting((0.6, 0.4), (0.2, 0.8)), temperature=0.5, votes=1000).forward
    assert cold is not None and cold.votes.count("first") == pytest.approx(692, abs=45)
    sure = judge(weighting((0.5, 0.0, 0.5), (1.0, 0.0, 0.0)), temperature=1.0, votes=200, allow_ties=True)
    assert sure.forward is not None and sure.reversed is not None
    assert set(sure.forward.votes) == {"first", "tie"} and set(sure.reversed.votes) == {"first"}


def test_unparsable_votes_do_not_count_unless_they_are_more_than_half() -> None:
    one = judge(
        SeededEngine(lambda seed, blue: "?" if seed == 8 else "Response 1" if blue else "Response 2"), **SAMPLED
    )
    two = judge(
        SeededEngine(lambda seed, blue: "?" if seed != 8 else "Response 1" if blue else "Response 2"), **SAMPLED
    )
    assert (one.outcome, two.outcome) == ("win", "failed")
    assert two.forward is not None and two.forward.text == "?\n\n?"


PAPER: dict[str, Any] = {"mode": "text", "prompt": "tao_li_2025", "presentation_order": "random"}


@pytest.mark.parametrize(
    ("reply_if_blue_is_first", "reply_if_blue_is_second", "outcome"),
    [("8 7\nBlue is a color.", "3 9\nSo.", "win"), ("2 7", "7 2", "loss"), ("5 5", "5 5", "tie"), ("?", "?", "failed")],
)
def test_the_judge_of_the_paper_makes_one_call_and_reads_two_scores(
    reply_if_blue_is_first: str, reply_if_blue_is_second: str, outcome: str
) -> None:
    engine = replying(reply_if_blue_is_first, reply_if_blue_is_second)
    result = judge(engine, **PAPER)
    assert (result.outcome, len(engine.requests), result.is_order_inconsistent) == (outcome, 1, None)
    (request,) = engine.requests
    assert [message.role for message in request.prompt] == ["system", "user"]
    assert [single is None for single in (result.forward, result.reversed)].count(True) == 1


def test_a_random_order_depends_on_the_texts_and_both_orders_occur() -> None:
    comparisons = [
        Comparison(id=str(index), prompt=COMPARISON.prompt, candidate=f"Blue {index}", baseline=f"Seven {index}")
        for index in range(200)
    ]
    swapped = [replace(each, candidate=each.baseline, baseline=each.candidate) for each in comparisons]
    prefers_blue = ScriptedEngine(
        choice_weights=lambda request, _: [2, 1] if "<response_1>\nBlue" in request.prompt[0].content else [1, 2]
    )
    component = build_judge(presentation_order="random")
    verdicts = component.judge(comparisons, {"judge": prefers_blue})
    num_forward = sum(verdict.forward is not None for verdict in verdicts)
    assert 80 <= num_forward <= 120  # 100 expected, 7 standard deviation
    assert {verdict.outcome for verdict in verdicts} == {"win"}
    assert {verdict.outcome for verdict in component.judge(swapped, {"judge": prefers_blue})} == {"loss"}
    prompts = [request.prompt for request in prefers_blue.requests]
    assert prompts[:200] == prompts[200:]  # swapped responses are the same request


def test_votes_in_one_order_are_one_call_each() -> None:
    engine = SeededEngine(lambda seed, blue: "Response 1" if blue == (seed != 8) else "Response 2")
    result = judge(engine, **{**SAMPLED, "presentation_order": "random"})
    single = result.forward or result.reversed
    assert single is not None and (result.outcome, result.cost.calls) == ("win", 3)
    assert single.votes == (("first", "second", "first") if result.forward else ("second", "first", "second"))


def test_a_custom_prompt_is_filled_and_its_first_line_is_parsed_or_its_candidates_scored() -> None:
    prompt = {"user": "Q {conversation} A {response_1} B {response_2}"}
    assert judge(replying("Response 1\nWhy", "Response 2"), mode="text", prompt=prompt).outcome == "win"
    assert judge(weighting((0.9, 0.1), (0.2, 0.8)), prompt=prompt).outcome == "win"
    component = build_judge(prompt=prompt)
    assert build_component("judges", dump_component(component)) == component


def test_an_unparsable_reply_is_a_tie_if_the_study_says_so_and_a_failed_request_is_not() -> None:
    result = judge(replying("Response 1", "?"), mode="text", failed_as_tie=True)
    assert (result.outcome, result.note) == ("win", "no verdict could be parsed: counted as a tie")
    assert result.reversed is not None and (result.reversed.choice, result.reversed.text) == (None, "?")
    both = judge(replying("?", "?"), mode="text", failed_as_tie=True)
    assert (both.outcome, both.note) == ("tie", "no verdict could be parsed: counted as a tie")
    assert judge(replying("?", "?"), failed_as_tie=True, **PAPER).outcome == "tie"
    assert judge(FailingEngine(), mode="text", failed_as_tie=True).outcome == "failed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failed_as_tie": True}, "failed_as_tie: not used in mode logits"),
        ({"prompt": "tao_li"}, r"unknown prompt 'tao_li' \(built-in: tao_li_2025\); did you mean 'tao_li_2025'"),
        ({"prompt": "tao_li_2025"}, "mode: this prompt's reply is a line with two scores"),
        ({**PAPER, "criterion": "x"}, "criterion: not used with `prompt`"),
        ({**PAPER, "output_format": "scores"}, "output_format: not used with `prompt`"),
        ({**PAPER, "max_reasoning_tokens": 9}, "max_reasoning_tokens: not used with `prompt`"),
        ({**PAPER, "allow_ties": True}, "allow_ties: not used with a prompt that requests scores"),
        ({"presentation_order": "most_confident"}, "presentation_order"),
        ({"allow_ties": True, "output_format": "scores"}, "allow_ties: not used with output_format: scores"),
        ({"max_verdict_tokens": 9}, "max_verdict_tokens: not used in mode logits"),
        ({"temperature": 0.7, "output_format": "scores"}, "temperature: not used for expected scores"),
        ({"mode": "text", "votes": 3}, "votes: at temperature 0"),
        ({"mode": "guess"}, "mode"),
        ({"criterion": ""}, "criterion"),
        ({"votes": 0}, "votes"),
    ],
)
def test_unused_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        build_judge(**settings)
