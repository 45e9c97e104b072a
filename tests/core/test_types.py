"""A pair is its texts, and nothing about where a response stands says which is the better."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from trimtab.types import (
    Annotation,
    Message,
    Pair,
    Preference,
    Status,
    build_human_annotation,
    build_user_prompt,
    format_conversation,
    prompt_hash,
    text_hash,
)

ASKED = build_user_prompt("Name a color.")
PAIR = Pair.from_responses(ASKED, "Blue.", "Seven.", "first")
N = 400
FOUR_ERRORS = 40  # four standard errors of 400 fair draws: 4 * sqrt(400 * 0.25)


def labeled(p_a: float) -> Annotation:
    return Annotation(pair_id=PAIR.id, p_a=p_a)


def test_a_pair_is_the_same_whichever_response_is_named_first() -> None:
    assert Pair.from_responses(ASKED, "Seven.", "Blue.", "second") == PAIR
    assert PAIR.human is not None
    assert PAIR.response(PAIR.human) == "Blue."


def test_a_pair_is_known_by_its_texts_and_not_by_its_label() -> None:
    assert Pair.from_responses(ASKED, "Blue.", "Seven.").id == PAIR.id
    assert Pair.from_responses(ASKED, "Blue.", "Seven.").human is None
    assert Pair.from_responses(ASKED, "Blue.", "Eight.").id != PAIR.id
    assert Pair.from_responses(build_user_prompt("Name a bird."), "Blue.", "Seven.").id != PAIR.id


def test_a_pair_of_one_response_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="identical"):
        Pair.from_responses(ASKED, "Blue.", "Blue.")


def test_the_preferred_response_is_a_half_of_the_time() -> None:
    pairs = [Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes", "no", "first") for n in range(N)]
    assert abs(sum(pair.human == "a" for pair in pairs) - N / 2) < FOUR_ERRORS
    assert abs(sum(pair.a == "no" for pair in pairs) - N / 2) < FOUR_ERRORS


def test_the_parts_of_a_hash_do_not_run_together() -> None:
    assert text_hash("ab", "c") != text_hash("a", "bc")
    assert text_hash("a") != text_hash("a", "")
    assert len(text_hash("a")) == 32


def test_a_prompt_is_known_by_its_roles_and_its_turns() -> None:
    assert prompt_hash(ASKED) == PAIR.prompt_id
    assert prompt_hash((Message(role="system", content="Name a color."),)) != prompt_hash(ASKED)
    assert (
        format_conversation((*ASKED, Message(role="assistant", content="Blue.")))
        == "User: Name a color.\n\nAssistant: Blue."
    )


def test_what_people_said_is_certain_and_what_nobody_said_is_abstained_from() -> None:
    unlabeled = Pair.from_responses(ASKED, "Blue.", "Seven.")
    assert (build_human_annotation(PAIR).choice, build_human_annotation(PAIR).p_a in {0.0, 1.0}) == (PAIR.human, True)
    assert build_human_annotation(unlabeled).status == "abstained"


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAIR.human = "b"  # type: ignore[misc]


@pytest.mark.parametrize(("p_a", "choice"), [(0.0, "b"), (0.49, "b"), (0.5, None), (0.51, "a"), (1.0, "a")])
def test_a_label_chooses_the_likelier_response_and_neither_on_one_half(p_a: float, choice: str | None) -> None:
    assert labeled(p_a).choice == choice


@pytest.mark.parametrize("p_a", [-0.1, 1.1, math.nan])
def test_a_probability_outside_zero_to_one_is_refused(p_a: float) -> None:
    with pytest.raises(ValueError, match=PAIR.id):
        labeled(p_a)


@pytest.mark.parametrize(("status", "p_a"), [("ok", None), ("abstained", 0.5), ("failed", 0.0)])
def test_a_label_has_a_probability_exactly_when_it_is_ok(status: Status, p_a: float | None) -> None:
    with pytest.raises(ValueError, match="status"):
        Annotation(pair_id=PAIR.id, p_a=p_a, status=status)


@pytest.mark.parametrize(
    ("p_a", "chosen", "p_chosen"), [(0.75, PAIR.a, 0.75), (0.25, PAIR.b, 0.75), (0.0, PAIR.b, 1.0)]
)
def test_a_preference_carries_the_chosen_response_and_how_sure_the_label_was(
    p_a: float, chosen: str, p_chosen: float
) -> None:
    made = Preference.from_annotation(PAIR, labeled(p_a))
    assert made is not None
    assert (made.chosen, made.p_chosen, made.weight) == (chosen, p_chosen, 1.0)
    assert {made.chosen, made.rejected} == {PAIR.a, PAIR.b}
    assert (made.pair_id, made.prompt) == (PAIR.id, PAIR.prompt)


@pytest.mark.parametrize(
    "label",
    [
        labeled(0.5),
        Annotation(pair_id=PAIR.id, p_a=None, status="abstained"),
        Annotation(pair_id=PAIR.id, p_a=None, status="failed"),
    ],
)
def test_no_preference_comes_of_a_label_that_chooses_neither(label: Annotation) -> None:
    assert Preference.from_annotation(PAIR, label) is None


def test_a_label_of_another_pair_is_never_applied() -> None:
    with pytest.raises(ValueError, match=r"elsewhere.*" + PAIR.id):
        Preference.from_annotation(PAIR, Annotation(pair_id="elsewhere", p_a=1.0))
