"""A pair is identified by its texts, and the position of a response carries no information about the label."""

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

PROMPT = build_user_prompt("Name a color.")
PAIR = Pair.from_responses(PROMPT, "Blue.", "Seven.", "first")
N = 400
FOUR_STANDARD_ERRORS = 40  # of 400 fair coin flips: 4 * sqrt(400 * 0.25)


def make_label(p_a: float) -> Annotation:
    return Annotation(pair_id=PAIR.id, p_a=p_a)


def test_a_pair_does_not_depend_on_the_order_of_the_responses() -> None:
    assert Pair.from_responses(PROMPT, "Seven.", "Blue.", "second") == PAIR
    assert PAIR.human is not None
    assert PAIR.response(PAIR.human) == "Blue."


def test_a_pair_is_identified_by_its_texts_and_not_by_its_label() -> None:
    assert Pair.from_responses(PROMPT, "Blue.", "Seven.").id == PAIR.id
    assert Pair.from_responses(PROMPT, "Blue.", "Seven.").human is None
    assert Pair.from_responses(PROMPT, "Blue.", "Eight.").id != PAIR.id
    assert Pair.from_responses(build_user_prompt("Name a bird."), "Blue.", "Seven.").id != PAIR.id


def test_two_identical_responses_are_an_error() -> None:
    with pytest.raises(ValueError, match="identical"):
        Pair.from_responses(PROMPT, "Blue.", "Blue.")


def test_the_preferred_response_is_a_in_half_of_the_pairs() -> None:
    pairs = [Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes", "no", "first") for n in range(N)]
    assert abs(sum(pair.human == "a" for pair in pairs) - N / 2) < FOUR_STANDARD_ERRORS
    assert abs(sum(pair.a == "no" for pair in pairs) - N / 2) < FOUR_STANDARD_ERRORS


def test_the_boundaries_between_parts_change_the_hash() -> None:
    assert text_hash("ab", "c") != text_hash("a", "bc")
    assert text_hash("a") != text_hash("a", "")
    assert len(text_hash("a")) == 32


def test_a_prompt_is_identified_by_its_roles_and_turns() -> None:
    assert prompt_hash(PROMPT) == PAIR.prompt_id
    assert prompt_hash((Message(role="system", content="Name a color."),)) != prompt_hash(PROMPT)
    assert (
        format_conversation((*PROMPT, Message(role="assistant", content="Blue.")))
        == "User: Name a color.\n\nAssistant: Blue."
    )


def test_a_human_label_has_probability_one_and_a_missing_label_abstains() -> None:
    unlabeled = Pair.from_responses(PROMPT, "Blue.", "Seven.")
    assert (build_human_annotation(PAIR).choice, build_human_annotation(PAIR).p_a in {0.0, 1.0}) == (PAIR.human, True)
    assert build_human_annotation(unlabeled).status == "abstained"


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAIR.human = "b"  # type: ignore[misc]


@pytest.mark.parametrize(("p_a", "choice"), [(0.0, "b"), (0.49, "b"), (0.5, None), (0.51, "a"), (1.0, "a")])
def test_a_label_chooses_the_more_likely_response_or_none_at_one_half(p_a: float, choice: str | None) -> None:
    assert make_label(p_a).choice == choice


@pytest.mark.parametrize("p_a", [-0.1, 1.1, math.nan])
def test_a_probability_outside_zero_to_one_is_an_error(p_a: float) -> None:
    with pytest.raises(ValueError, match=PAIR.id):
        make_label(p_a)


@pytest.mark.parametrize(("status", "p_a"), [("ok", None), ("abstained", 0.5), ("failed", 0.0)])
def test_a_label_has_a_probability_if_and_only_if_it_is_ok(status: Status, p_a: float | None) -> None:
    with pytest.raises(ValueError, match="status"):
        Annotation(pair_id=PAIR.id, p_a=p_a, status=status)


@pytest.mark.parametrize(
    ("p_a", "chosen", "p_chosen"), [(0.75, PAIR.a, 0.75), (0.25, PAIR.b, 0.75), (0.0, PAIR.b, 1.0)]
)
def test_a_preference_has_the_chosen_response_and_the_confidence_of_the_label(
    p_a: float, chosen: str, p_chosen: float
) -> None:
    preference = Preference.from_annotation(PAIR, make_label(p_a))
    assert preference is not None
    assert (preference.chosen, preference.p_chosen, preference.weight) == (chosen, p_chosen, 1.0)
    assert {preference.chosen, preference.rejected} == {PAIR.a, PAIR.b}
    assert (preference.pair_id, preference.prompt) == (PAIR.id, PAIR.prompt)


@pytest.mark.parametrize(
    "label",
    [
        make_label(0.5),
        Annotation(pair_id=PAIR.id, p_a=None, status="abstained"),
        Annotation(pair_id=PAIR.id, p_a=None, status="failed"),
    ],
)
def test_a_label_without_a_choice_gives_no_preference(label: Annotation) -> None:
    assert Preference.from_annotation(PAIR, label) is None


def test_a_label_of_another_pair_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"other-id.*" + PAIR.id):
        Preference.from_annotation(PAIR, Annotation(pair_id="other-id", p_a=1.0))
