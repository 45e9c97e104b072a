"""The scripted engine answers by its rules, in order, and keeps what it was asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Engine, EngineConfig
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.engines.scripted import Scripted, ScriptedEngine
from trimtab.errors import StudyError
from trimtab.types import EngineRequest, build_user_prompt

SCRIPT = {
    "kind": "scripted",
    "writes": {"color": "blue as the sea", "sea": "deep"},
    "weighs": {"color": [3, 1], "sea": [1, 0]},
    "otherwise": "nothing",
}
COLOR, SEA, OTHER = (
    EngineRequest(prompt=build_user_prompt("Which color?")),
    EngineRequest(prompt=build_user_prompt("The sea?")),
    EngineRequest(prompt=build_user_prompt("Why?")),
)


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    yield lambda done=1: None


def engine() -> Engine:
    script = build_component("engines", SCRIPT)
    assert isinstance(script, EngineConfig)
    return script.start(Runtime(progress=bar, notify=lambda message: None))


def test_the_first_pattern_that_is_found_decides_what_is_written() -> None:
    both = EngineRequest(prompt=build_user_prompt("Which color has the sea?"))
    replies = engine().generate([SEA, both, OTHER], max_new_tokens=10)
    assert [reply.text for reply in replies] == ["deep", "blue as the sea", "nothing"]


def test_patterns_are_also_looked_for_in_how_the_answer_begins() -> None:
    assert (
        engine()
        .generate([EngineRequest(prompt=build_user_prompt("Why?"), prefill="The sea")], max_new_tokens=5)[0]
        .text
        == "deep"
    )


def test_a_text_that_is_longer_than_the_limit_is_cut_and_says_so() -> None:
    (reply,) = engine().generate([COLOR], max_new_tokens=2)
    assert (reply.text, reply.finish_reason, reply.cost.generated_tokens) == ("blue as", "length", 2)


def test_a_text_ends_before_the_first_stop_text() -> None:
    (reply,) = engine().generate([COLOR], max_new_tokens=10, stop=[" sea", " as"])
    assert (reply.text, reply.finish_reason) == ("blue", "end")


def test_shares_are_the_weights_over_their_sum_and_logprobs_their_logarithms() -> None:
    color, sea, other = engine().score_choices([COLOR, SEA, OTHER], [["a", "b"]] * 3)
    assert (color.probabilities, sea.probabilities, other.probabilities) == ((0.75, 0.25), (1.0, 0.0), (0.5, 0.5))
    assert color.logprobs == (math.log(0.75), math.log(0.25))
    assert sea.logprobs == (0.0, -math.inf)


def test_tokens_are_words_and_the_end_of_the_turn_is_one_more() -> None:
    asked: Sequence[Sequence[str]] = [["one", "two words"]]
    assert engine().score_choices([OTHER], asked)[0].tokens == (1, 2)
    assert engine().score_choices([OTHER], asked, include_end_of_turn=True)[0].tokens == (2, 3)
    assert engine().score_choices([OTHER], asked, first_token_only=True)[0].tokens == (1, 1)


def test_every_question_counts_as_one_call_with_the_words_it_holds() -> None:
    (reply,), (weighing,) = engine().generate([COLOR], max_new_tokens=9), engine().score_choices([COLOR], [["a", "b"]])
    # "User:", "Which", "color?"
    assert (reply.cost.calls, reply.cost.prompt_tokens) == (1, 3)
    assert (weighing.cost.calls, weighing.cost.prompt_tokens) == (1, 3)


def test_all_questions_are_kept_in_the_order_in_which_they_came() -> None:
    asked = ScriptedEngine(
        reply=lambda question: question.prefill, choice_weights=lambda question, among: [1.0] * len(among)
    )
    asked.generate([SEA, COLOR], max_new_tokens=1)
    asked.score_choices([OTHER], [["a", "b"]])
    assert asked.requests == [SEA, COLOR, OTHER]


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [1e308, 1e308]])
def test_weights_that_make_no_shares_are_refused_with_their_pattern(weights: list[float]) -> None:
    with pytest.raises(StudyError, match="weighs: 'sea': weights must not be negative and not all be zero"):
        build_component("engines", {"kind": "scripted", "weighs": {"sea": weights}})


def test_weights_for_another_number_of_candidates_are_an_error_that_names_the_pattern() -> None:
    with pytest.raises(ValueError, match=r"weighs\.color: 2 weights for 3 candidates"):
        engine().score_choices([COLOR], [["a", "b", "c"]])


def test_a_script_survives_its_settings_and_another_script_has_another_identity() -> None:
    script = build_component("engines", SCRIPT)
    other = build_component("engines", {**SCRIPT, "otherwise": "something"})
    assert isinstance(script, Scripted) and isinstance(other, Scripted)
    assert build_component("engines", dump_component(script)) == script
    assert script.content_hash() != other.content_hash()
