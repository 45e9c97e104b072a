"""Consultancy and debate: the sides, the arguments each request contains, and the cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import pytest

from trimtab.annotators.consultancy import Consultancy
from trimtab.annotators.debate import Debate
from trimtab.annotators.self_reward import SelfReward
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.engines.scripted import ScriptedEngine
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

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}?"), "good", "poor") for index in range(24)]
PAIR = PAIRS[0]
GOOD: dict[str, Literal["a", "b"]] = {pair.id: "a" if pair.a == "good" else "b" for pair in PAIRS}
FIRST_IS_GOOD = "<response_1>\ngood"


def text(request: EngineRequest) -> str:
    return format_conversation(request.prompt)


def side(request: EngineRequest) -> str:
    """The text of the response that a request asks to argue for."""
    slot = text(request)[-2]
    found = re.search(rf"<response_{slot}>\n(\w+)", text(request))
    assert found is not None
    return found[1]


def prefers_good(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
    return [0.8, 0.2] if FIRST_IS_GOOD in text(request) else [0.2, 0.8]


def strong() -> ScriptedEngine:
    """Prefers the good response; its arguments state their side and the number of arguments read."""
    return ScriptedEngine(
        reply=lambda asked: f"For {side(asked)} after {text(asked).count('</argument_for')}.",
        choice_weights=prefers_good,
    )


def last_argument_wins() -> ScriptedEngine:
    """Agrees with the last argument."""

    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        last = re.findall(r"<argument_for_response_(\d)>", text(request))[-1]
        return [0.7, 0.3] if last == "1" else [0.3, 0.7]

    return ScriptedEngine(choice_weights=score)


class FailingEngine:
    """A server without replies."""

    def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
        return [Generation(text="", status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]

    def score_choices(self, requests: Sequence[EngineRequest], candidates: Any, **_: Any) -> list[ChoiceScores]:
        return [ChoiceScores(probabilities=(), status="failed", note="timed out", cost=Cost(calls=1)) for _ in requests]


def labels(asked: Consultancy | Debate, pairs: Sequence[Pair] = PAIRS, **engines: Any) -> list[Annotation]:
    return asked.annotate(pairs, AnnotatorInputs(engines={"weak": last_argument_wins(), "strong": strong(), **engines}))


def test_a_consultant_argues_for_the_response_it_prefers() -> None:
    for label in labels(Consultancy()):
        arguments = label.detail["arguments"]
        assert [each["for"] for texts in arguments.values() for each in texts] == [GOOD[label.pair_id]] * 2
        assert (label.detail["argued_for"], label.choice) == (GOOD[label.pair_id], GOOD[label.pair_id])
        assert label.detail["strong_label"]["p_a_by_order"] == pytest.approx(
            {"a_first": 0.8, "b_first": 0.8} if label.choice == "a" else {"a_first": 0.2, "b_first": 0.2}
        )


def test_a_random_side_is_the_same_in_both_orders() -> None:
    engine = strong()
    made = labels(Consultancy(argue_for="random"), strong=engine)
    assert len(engine.requests) == 2 * len(PAIRS)
    assert [side(each) for each in engine.requests[::2]] == [side(each) for each in engine.requests[1::2]]
    assert {side(each) for each in engine.requests} == {"good", "poor"}
    assert all("strong_label" not in label.detail for label in made)


@pytest.mark.parametrize("order", ["both", "random", "most_confident"])
def test_a_consultants_preference_is_its_self_reward_label(order: Any) -> None:
    def biased(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        return [0.9, 0.1] if FIRST_IS_GOOD in text(request) else [0.6, 0.4]

    engine = ScriptedEngine(reply=side, choice_weights=biased)
    made = labels(Consultancy(presentation_order=order), strong=engine)
    own = SelfReward(presentation_order=order).annotate(PAIRS, AnnotatorInputs(engines={"strong": engine}))
    assert [label.detail["argued_for"] for label in made] == [label.choice for label in own]
    wrong = sum(label.choice != GOOD[label.pair_id] for label in own)
    assert 0 < wrong < len(PAIRS) if order == "random" else wrong == 0


def test_truncated_arguments_are_counted() -> None:
    # "For good after 0." has four words; a debate of two rounds has four arguments in each of two orders
    assert {label.detail["num_truncated"] for label in labels(Debate(rounds=2, max_argument_tokens=3))} == {8}
    assert {label.detail["num_truncated"] for label in labels(Debate(rounds=2, max_argument_tokens=4))} == {0}


def test_a_consultant_without_a_preference_argues_for_a_random_side() -> None:
    even = ScriptedEngine(reply=side)
    by_draw = [label.detail["argued_for"] for label in labels(Consultancy(argue_for="random"))]
    assert [label.detail["argued_for"] for label in labels(Consultancy(), strong=even)] == by_draw


def test_the_judge_reads_the_argument_in_both_orders() -> None:
    judge = last_argument_wins()
    (label,) = labels(Consultancy(), [PAIR], weak=judge)
    assert len(judge.requests) == 2
    assert all("For good after 0." in text(each) for each in judge.requests)
    assert label.p_a == pytest.approx(0.7 if GOOD[PAIR.id] == "a" else 0.3)
    assert label.detail["order_inconsistent"] is False


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        # strong label in two orders, two arguments, two verdicts
        (Consultancy(), 6),
        (Consultancy(presentation_order="random"), 3),
        (Consultancy(argue_for="random"), 4),
        (Consultancy(argue_for="random", presentation_order="random"), 2),
        # two arguments per round and one verdict in each order
        (Debate(rounds=1), 6),
        (Debate(rounds=2), 10),
        (Debate(rounds=3, presentation_order="random"), 7),
    ],
    ids=str,
)
def test_the_cost_counts_every_request(asked: Consultancy | Debate, calls: int) -> None:
    judge, speaker = last_argument_wins(), strong()
    (label,) = labels(asked, [PAIR], weak=judge, strong=speaker)
    read = [f"{text(each)} {each.prefill}" for each in judge.requests + speaker.requests]
    assert (label.cost.calls, len(read)) == (calls, calls)
    assert label.cost.prompt_tokens == sum(len(each.split()) for each in read)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_both_sides_argue_once_per_round_and_read_all_earlier_arguments(rounds: int) -> None:
    speaker = strong()
    for label in labels(Debate(rounds=rounds), strong=speaker):
        for texts in label.detail["arguments"].values():
            assert [each["text"][-2] for each in texts] == [str(turn) for turn in range(2 * rounds)]
            assert sorted(each["for"] for each in texts) == ["a"] * rounds + ["b"] * rounds
            assert all(one["for"] != other["for"] for one, other in pairwise(texts))
    turns = [text(each).count("</argument_for") for each in speaker.requests]
    assert turns == sorted(turns)


def test_each_response_opens_once_so_the_last_argument_has_no_effect() -> None:
    made = labels(Debate())
    for label in made:
        assert {texts[0]["for"] for texts in label.detail["arguments"].values()} == {"a", "b"}
    assert {(label.status, label.detail["order_inconsistent"]) for label in made} == {("abstained", True)}


def test_the_opening_position_varies_between_pairs() -> None:
    opens = {label.detail["arguments"]["a_first"][0]["for"] for label in labels(Debate())}
    assert opens == {"a", "b"}


@pytest.mark.parametrize(
    "asked", [Consultancy(), Consultancy(argue_for="random"), Debate(), Debate(presentation_order="random")], ids=str
)
def test_swapped_responses_get_the_same_arguments(asked: Consultancy | Debate) -> None:
    there, back = strong(), strong()
    labels(asked, strong=there)
    labels(asked, [replace(pair, a=pair.b, b=pair.a) for pair in PAIRS], strong=back)
    assert sorted(map(text, there.requests)) == sorted(map(text, back.requests))


@pytest.mark.parametrize(
    ("asked", "note", "calls"),
    [
        (Consultancy(), "the strong model's own label: no verdict: timed out", 2),
        (Consultancy(argue_for="random"), "generation failed: timed out", 2),
        (Debate(), "generation failed: timed out", 2),
    ],
    ids=str,
)
def test_a_failed_argument_fails_the_pair_without_further_requests(
    asked: Consultancy | Debate, note: str, calls: int
) -> None:
    judge = last_argument_wins()
    (label,) = labels(asked, [PAIR], strong=FailingEngine(), weak=judge)
    assert (label.status, label.note, label.cost.calls, judge.requests) == ("failed", note, calls, [])


@pytest.mark.parametrize("asked", [Consultancy(), Debate()], ids=str)
def test_an_empty_argument_fails_the_pair(asked: Consultancy | Debate) -> None:
    mute = ScriptedEngine(choice_weights=prefers_good)
    (label,) = labels(asked, [PAIR], strong=mute)
    assert label.status == "failed"
    assert re.match(r"empty argument for Response [12]", label.note)


@pytest.mark.parametrize("asked", [Consultancy(), Debate()], ids=str)
def test_a_failed_verdict_fails_the_pair_and_retains_the_arguments(asked: Consultancy | Debate) -> None:
    (label,) = labels(asked, [PAIR], weak=FailingEngine())
    assert (label.status, label.note) == ("failed", "no verdict: timed out")
    assert label.detail["arguments"]["a_first"]
