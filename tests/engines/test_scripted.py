"""The scripted engine answers by its rules, in order, and records its requests."""

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
    "replies": {"color": "blue as the sea", "sea": "deep"},
    "choice_weights": {"color": [3, 1], "sea": [1, 0]},
    "default_reply": "nothing",
}
COLOR, SEA, OTHER = (
    EngineRequest(prompt=build_user_prompt("Which color?")),
    EngineRequest(prompt=build_user_prompt("The sea?")),
    EngineRequest(prompt=build_user_prompt("Why?")),
)


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    yield lambda done=1: None


def start_engine() -> Engine:
    script = build_component("engines", SCRIPT)
    assert isinstance(script, EngineConfig)
    return script.start(Runtime(progress=silent_progress, notify=lambda message: None))


def test_the_first_pattern_found_decides_the_reply() -> None:
    both = EngineRequest(prompt=build_user_prompt("Which color has the sea?"))
    replies = start_engine().generate([SEA, both, OTHER], max_new_tokens=10)
    assert [reply.text for reply in replies] == ["deep", "blue as the sea", "nothing"]


def test_patterns_also_match_the_prefill() -> None:
    assert (
        start_engine()
        .generate([EngineRequest(prompt=build_user_prompt("Why?"), prefill="The sea")], max_new_tokens=5)[0]
        .text
        == "deep"
    )


def test_a_reply_longer_than_the_limit_is_truncated() -> None:
    (reply,) = start_engine().generate([COLOR], max_new_tokens=2)
    assert (reply.text, reply.finish_reason, reply.cost.generated_tokens) == ("blue as", "length", 2)


def test_a_reply_ends_before_the_first_stop_text() -> None:
    (reply,) = start_engine().generate([COLOR], max_new_tokens=10, stop=[" sea", " as"])
    assert (reply.text, reply.finish_reason) == ("blue", "end")


def test_probabilities_are_normalized_weights_and_logprobs_their_logarithms() -> None:
    color, sea, other = start_engine().score_choices([COLOR, SEA, OTHER], [["a", "b"]] * 3)
    assert (color.probabilities, sea.probabilities, other.probabilities) == ((0.75, 0.25), (1.0, 0.0), (0.5, 0.5))
    assert color.logprobs == (math.log(0.75), math.log(0.25))
    assert sea.logprobs == (0.0, -math.inf)


def test_tokens_are_words_plus_one_for_the_end_of_the_turn() -> None:
    candidates: Sequence[Sequence[str]] = [["one", "two words"]]
    assert start_engine().score_choices([OTHER], candidates)[0].tokens == (1, 2)
    assert start_engine().score_choices([OTHER], candidates, include_end_of_turn=True)[0].tokens == (2, 3)
    assert start_engine().score_choices([OTHER], candidates, first_token_only=True)[0].tokens == (1, 1)


def test_every_request_costs_one_call_and_its_words() -> None:
    (reply,), (scores,) = (
        start_engine().generate([COLOR], max_new_tokens=9),
        start_engine().score_choices([COLOR], [["a", "b"]]),
    )
    # "User:", "Which", "color?"
    assert (reply.cost.calls, reply.cost.prompt_tokens) == (1, 3)
    assert (scores.cost.calls, scores.cost.prompt_tokens) == (1, 3)


def test_all_requests_are_recorded_in_order() -> None:
    engine = ScriptedEngine(
        reply=lambda request: request.prefill, choice_weights=lambda request, candidates: [1.0] * len(candidates)
    )
    engine.generate([SEA, COLOR], max_new_tokens=1)
    engine.score_choices([OTHER], [["a", "b"]])
    assert engine.requests == [SEA, COLOR, OTHER]


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [1e308, 1e308]])
def test_invalid_weights_are_rejected_with_their_pattern(weights: list[float]) -> None:
    # numbers beyond the bounds of all settings are rejected before the sum is computed
    with pytest.raises(
        StudyError,
        match=r"choice_weights: ('sea': weights must be non-negative with a positive, finite sum|must be between)",
    ):
        build_component("engines", {"kind": "scripted", "choice_weights": {"sea": weights}})


def test_a_wrong_number_of_weights_raises_with_the_pattern() -> None:
    with pytest.raises(ValueError, match=r"choice_weights\.color: 2 weights for 3 candidates"):
        start_engine().score_choices([COLOR], [["a", "b", "c"]])


def test_settings_round_trip_and_another_script_has_another_content_hash() -> None:
    script = build_component("engines", SCRIPT)
    other = build_component("engines", {**SCRIPT, "default_reply": "something"})
    assert isinstance(script, Scripted) and isinstance(other, Scripted)
    assert build_component("engines", dump_component(script)) == script
    assert script.content_hash() != other.content_hash()
