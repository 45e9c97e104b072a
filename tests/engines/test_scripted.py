"""The scripted engine answers by its rules, in order, and keeps what it was asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from trimtab.components import build, dump
from trimtab.engines.scripted import Scripted, ScriptedEngine
from trimtab.errors import StudyError
from trimtab.protocols import Engine, Runtime, Startable, Tick
from trimtab.types import Question, user

SCRIPT = {
    "kind": "scripted",
    "writes": {"color": "blue as the sea", "sea": "deep"},
    "weighs": {"color": [3, 1], "sea": [1, 0]},
    "otherwise": "nothing",
}
COLOR, SEA, OTHER = (
    Question(prompt=user("Which color?")),
    Question(prompt=user("The sea?")),
    Question(prompt=user("Why?")),
)


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[Tick]:
    yield lambda done=1: None


def engine() -> Engine:
    script = build("engines", SCRIPT)
    assert isinstance(script, Startable)
    return script.start(Runtime(progress=bar, notify=lambda message: None))


def test_the_first_pattern_that_is_found_decides_what_is_written() -> None:
    both = Question(prompt=user("Which color has the sea?"))
    replies = engine().write([SEA, both, OTHER], max_tokens=10)
    assert [reply.text for reply in replies] == ["deep", "blue as the sea", "nothing"]


def test_patterns_are_also_looked_for_in_how_the_answer_begins() -> None:
    assert engine().write([Question(prompt=user("Why?"), begins="The sea")], max_tokens=5)[0].text == "deep"


def test_a_text_that_is_longer_than_the_limit_is_cut_and_says_so() -> None:
    (reply,) = engine().write([COLOR], max_tokens=2)
    assert (reply.text, reply.stop, reply.cost.generated_tokens) == ("blue as", "length", 2)


def test_a_text_ends_before_the_first_stop_text() -> None:
    (reply,) = engine().write([COLOR], max_tokens=10, stop=[" sea", " as"])
    assert (reply.text, reply.stop) == ("blue", "end")


def test_shares_are_the_weights_over_their_sum_and_logprobs_their_logarithms() -> None:
    color, sea, other = engine().weigh([COLOR, SEA, OTHER], [["a", "b"]] * 3)
    assert (color.shares, sea.shares, other.shares) == ((0.75, 0.25), (1.0, 0.0), (0.5, 0.5))
    assert color.logprobs == (math.log(0.75), math.log(0.25))
    assert sea.logprobs == (0.0, -math.inf)


def test_tokens_are_words_and_the_end_of_the_turn_is_one_more() -> None:
    asked: Sequence[Sequence[str]] = [["one", "two words"]]
    assert engine().weigh([OTHER], asked)[0].tokens == (1, 2)
    assert engine().weigh([OTHER], asked, ended=True)[0].tokens == (2, 3)
    assert engine().weigh([OTHER], asked, first_token=True)[0].tokens == (1, 1)


def test_every_question_counts_as_one_call_with_the_words_it_holds() -> None:
    (reply,), (weighing,) = engine().write([COLOR], max_tokens=9), engine().weigh([COLOR], [["a", "b"]])
    # "User:", "Which", "color?"
    assert (reply.cost.calls, reply.cost.prompt_tokens) == (1, 3)
    assert (weighing.cost.calls, weighing.cost.prompt_tokens) == (1, 3)


def test_all_questions_are_kept_in_the_order_in_which_they_came() -> None:
    asked = ScriptedEngine(write=lambda question: question.begins, weigh=lambda question, among: [1.0] * len(among))
    asked.write([SEA, COLOR], max_tokens=1)
    asked.weigh([OTHER], [["a", "b"]])
    assert asked.asked == [SEA, COLOR, OTHER]


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [1e308, 1e308]])
def test_weights_that_make_no_shares_are_refused_with_their_pattern(weights: list[float]) -> None:
    with pytest.raises(StudyError, match="weighs: 'sea': weights must not be negative and not all be zero"):
        build("engines", {"kind": "scripted", "weighs": {"sea": weights}})


def test_weights_for_another_number_of_candidates_are_an_error_that_names_the_pattern() -> None:
    with pytest.raises(ValueError, match=r"weighs\.color: 2 weights for 3 candidates"):
        engine().weigh([COLOR], [["a", "b", "c"]])


def test_a_script_survives_its_settings_and_another_script_has_another_identity() -> None:
    script = build("engines", SCRIPT)
    other = build("engines", {**SCRIPT, "otherwise": "something"})
    assert isinstance(script, Scripted) and isinstance(other, Scripted)
    assert build("engines", dump(script)) == script
    assert script.identity() != other.identity()
