"""A judge is asked in both orders, and what it cannot be understood to say is failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Engine, Judge, UsesEngines
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import StudyError
from trimtab.judges.pairwise import Pairwise
from trimtab.types import ChoiceScores, Comparison, Cost, EngineRequest, Generation, Verdict, build_user_prompt

CONTEST = Comparison(id="one", prompt=build_user_prompt("Name a color."), candidate="Blue.", baseline="Seven.")
SWAPPED = Comparison(id="one", prompt=CONTEST.prompt, candidate="Seven.", baseline="Blue.")
SCRIPTED = {"kind": "scripted"}


def judge(**settings: Any) -> Pairwise:
    made = build_component("evaluation", {"kind": "pairwise", "engine": SCRIPTED, **settings})
    assert isinstance(made, Pairwise)
    return made


def verdict(engine: Engine, contest: Comparison = CONTEST, **settings: Any) -> Verdict:
    (found,) = judge(**settings).judge([contest], {"judge": engine})
    return found


def blue_first(question: EngineRequest) -> bool:
    return "<response_1>\nBlue." in question.prompt[0].content


def leaning(there: Sequence[float], back: Sequence[float]) -> ScriptedEngine:
    """Weighs so where the good answer stands first, and so where it stands second."""
    return ScriptedEngine(choice_weights=lambda question, _: there if blue_first(question) else back)


def writing(there: str, back: str) -> ScriptedEngine:
    return ScriptedEngine(reply=lambda question: there if blue_first(question) else back)


def test_it_is_a_judge_that_asks_its_engine() -> None:
    made = judge()
    assert isinstance(made, Judge) and isinstance(made, UsesEngines)
    assert dump_component(made.engines()["judge"]) == SCRIPTED
    assert build_component("evaluation", dump_component(made)) == made
    assert dump_component(judge(engine="gemma3-270m").engines()["judge"]) == {
        "kind": "transformers",
        "model": "gemma3-270m",
    }


@pytest.mark.parametrize(
    ("there", "back", "outcome", "flipped"),
    [
        ((0.9, 0.1), (0.2, 0.8), "win", False),
        ((0.4, 0.6), (0.7, 0.3), "loss", False),
        ((0.9, 0.1), (0.6, 0.4), "tie", True),  # the first place twice
        ((0.1, 0.9), (0.3, 0.7), "tie", True),
        ((0.5, 0.5), (0.3, 0.7), "win", False),  # neither, and then ours
        ((0.5, 0.5), (0.5, 0.5), "tie", False),
    ],
)
def test_a_verdict_is_read_from_probabilities_in_both_orders(
    there: Sequence[float], back: Sequence[float], outcome: str, flipped: bool
) -> None:
    engine = leaning(there, back)
    found = verdict(engine)
    assert (found.outcome, found.is_order_inconsistent, found.note) == (outcome, flipped, "")
    assert len(engine.requests) == 2
    assert found.forward is not None and found.reversed is not None
    assert (found.forward.probability_first, found.reversed.probability_first) == (there[0], back[0])


def test_swapped_answers_swap_the_outcome() -> None:
    assert verdict(leaning((0.9, 0.1), (0.2, 0.8)), SWAPPED).outcome == "loss"


def test_a_tie_can_be_allowed_among_the_candidates() -> None:
    found = verdict(leaning((0.1, 0.2, 0.7), (0.1, 0.6, 0.3)), ties=True)
    assert found.forward is not None and found.forward.choice == "tie"
    assert found.outcome == "win"


@pytest.mark.parametrize(
    "text", ["Response 1", "**Response 1**.", "[[Response 1]]", "1", "Response 1 is better.\nWhy: …"]
)
def test_a_written_verdict_is_parsed(text: str) -> None:
    found = verdict(writing(text, text.replace("1", "2")), mode="text")
    assert found.outcome == "win"
    assert found.forward is not None and found.forward.text == text


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
def test_what_cannot_be_read_is_failed_with_the_text_that_was_written_and_never_a_tie(text: str) -> None:
    found = verdict(writing("Response 1", text), mode="text")
    assert (found.outcome, found.note, found.is_order_inconsistent) == ("failed", "no verdict could be read", None)
    assert found.reversed is not None and (found.reversed.choice, found.reversed.text) == (None, text)


def test_a_written_tie_counts_where_it_was_offered() -> None:
    assert verdict(writing("Tie", "Response 2"), mode="text", ties=True).outcome == "win"


@pytest.mark.parametrize(
    ("there", "back", "outcome"),
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
def test_scores_are_read_from_text_and_must_be_on_the_scale(there: str, back: str, outcome: str) -> None:
    assert verdict(writing(there, back), mode="text", answer="scores").outcome == outcome


def test_scores_from_probabilities_are_expected_scores() -> None:
    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        assert list(candidates) == [str(each) for each in range(1, 11)]
        good = blue_first(question) == question.prefill.endswith("Response 1:\n")
        return [0, 0, 0, 0, 0, 0, 1, 0, 3, 0] if good else [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]

    engine = ScriptedEngine(choice_weights=weigh)
    found = verdict(engine, answer="scores")
    assert found.forward is not None and found.reversed is not None
    assert found.forward.scores == pytest.approx(((7 + 3 * 9) / 4, 1.5))
    assert found.reversed.scores == pytest.approx((1.5, 8.5))
    assert (found.outcome, len(engine.requests)) == ("win", 4)


def test_an_explanation_is_written_for_all_before_any_verdict_and_is_kept() -> None:
    engine = ScriptedEngine(
        reply=lambda _: "Blue is one.\n\nVerdict:\nResponse 2",
        choice_weights=lambda question, _: [1, 0] if blue_first(question) else [0, 1],
    )
    found = verdict(engine, explanation_tokens=40)
    assert [each.prefill for each in engine.requests] == ["Reasoning:\n"] * 2 + [
        "Reasoning:\nBlue is one.\n\nVerdict:\n"
    ] * 2
    assert found.forward is not None and found.forward.text == "Blue is one."
    assert found.outcome == "win"


def test_a_cost_is_that_of_every_question() -> None:
    found = verdict(writing("Response 1", "Response 2"), mode="text", explanation_tokens=5)
    assert (found.cost.calls, found.cost.generated_tokens) == (4, 8)


def test_the_same_text_twice_is_a_tie_that_costs_nothing() -> None:
    engine = leaning((0.9, 0.1), (0.9, 0.1))
    same = Comparison(id="two", prompt=build_user_prompt("Name a color."), candidate="Blue.", baseline="Blue.")
    found = judge().judge([same, CONTEST, same], {"judge": engine})
    assert [each.id for each in found] == ["two", "one", "two"]
    assert (found[0].outcome, found[0].is_order_inconsistent, found[0].cost) == ("tie", None, Cost())
    assert len(engine.requests) == 2


class Silent:
    """A server that answers nothing, at a price."""

    def generate(self, questions: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions]

    def score_choices(self, questions: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [
            ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in questions
        ]


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({}, "no verdict: timed out"),
        ({"mode": "text"}, "nothing was written: timed out"),
        ({"explanation_tokens": 9}, "nothing was written: timed out"),
        ({"answer": "scores"}, "no verdict: timed out"),
    ],
)
def test_a_question_that_was_not_answered_fails_and_nothing_more_is_asked(settings: dict[str, Any], note: str) -> None:
    found = verdict(Silent(), **settings)
    assert (found.outcome, found.note, found.cost.calls) == ("failed", note, 2)


def test_shares_that_are_no_numbers_fail() -> None:
    assert verdict(leaning((math.nan, 1.0), (0.2, 0.8))).outcome == "failed"


@dataclass
class Moody:
    """Writes by the seed of the call."""

    says: Callable[[int, bool], str]
    seeds: list[int] = field(default_factory=list)

    def generate(self, questions: Sequence[EngineRequest], *, seed: int = 0, **_: Any) -> list[Generation]:
        self.seeds.append(seed)
        return [Generation(text=self.says(seed, blue_first(each)), cost=Cost(calls=1)) for each in questions]

    def score_choices(self, questions: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        raise AssertionError("mode text weighs nothing")


SAMPLED: dict[str, Any] = {"mode": "text", "temperature": 1.0, "votes": 3, "seed": 7}


def test_votes_are_asked_with_seeds_of_their_own_and_the_majority_counts() -> None:
    engine = Moody(lambda seed, blue: "Response 1" if blue == (seed != 8) else "Response 2")
    found = verdict(engine, **SAMPLED)
    assert engine.seeds == [7, 8, 9]
    assert found.forward is not None and found.reversed is not None
    assert found.forward.votes == ("first", "second", "first")
    assert found.reversed.votes == ("second", "first", "second")
    assert (found.outcome, found.cost.calls) == ("win", 6)


def test_votes_that_cannot_be_read_do_not_count_unless_they_are_more_than_half() -> None:
    one = verdict(Moody(lambda seed, blue: "?" if seed == 8 else "Response 1" if blue else "Response 2"), **SAMPLED)
    two = verdict(Moody(lambda seed, blue: "?" if seed != 8 else "Response 1" if blue else "Response 2"), **SAMPLED)
    assert (one.outcome, two.outcome) == ("win", "failed")
    assert two.forward is not None and two.forward.text == "?\n\n?"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ties": True, "answer": "scores"}, "ties: with answer: scores"),
        ({"answer_tokens": 9}, "answer_tokens: mode logits writes no verdict"),
        ({"temperature": 0.7}, "temperature: nothing is written"),
        ({"mode": "text", "votes": 3}, "votes: at temperature 0"),
        ({"mode": "guess"}, "mode"),
        ({"criterion": ""}, "criterion"),
        ({"votes": 0}, "votes"),
    ],
)
def test_settings_that_would_not_be_read_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        judge(**settings)
