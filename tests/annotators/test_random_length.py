"""The baselines random and length."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trimtab.annotators.length import Length
from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.annotators.random import Random
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.types import Choice, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes", "never", "first") for n in range(1000)]


def choices(seed: int) -> list[Choice | None]:
    return [label.choice for label in Random(seed=seed).annotate(PAIRS, AnnotatorInputs())]


def test_random_labels_are_balanced_and_never_abstain() -> None:
    made = choices(0)
    # four standard errors of 1000 fair tosses are 63
    assert 437 <= made.count("a") <= 563
    assert None not in made


def test_random_labels_depend_on_the_seed_only() -> None:
    assert choices(3) == choices(3)
    assert 437 <= sum(one == other for one, other in zip(choices(3), choices(4), strict=True)) <= 563


def test_a_random_label_selects_a_text_rather_than_a_position() -> None:
    turned = [replace(pair, a=pair.b, b=pair.a) for pair in PAIRS]
    texts = [pair.response(choice) for pair, choice in zip(PAIRS, choices(0), strict=True) if choice]
    labels = Random().annotate(turned, AnnotatorInputs())
    assert texts == [pair.response(label.choice) for pair, label in zip(turned, labels, strict=True) if label.choice]
    assert 437 <= texts.count("yes") <= 563


def test_random_labels_are_independent_of_noisy_human_labels() -> None:
    human = {pair.id: pair.human for pair in PAIRS if pair.human}
    flipped = [
        label.note == "flipped"
        for label in NoisyHuman(noise_rate=0.5).annotate(PAIRS, AnnotatorInputs(human_labels=human))
    ]
    lower = [pair.response(choice) == "never" for pair, choice in zip(PAIRS, choices(0), strict=True) if choice]
    assert 437 <= sum(one == other for one, other in zip(flipped, lower, strict=True)) <= 563


@pytest.mark.parametrize(
    ("a", "b", "gap", "p_a", "margin"),
    [("yes", "never", 0, 1.0, 2.0), ("never", "yes", 1, 0.0, -2.0), ("yes", "never", 2, None, None)],
)
def test_the_shorter_response_is_preferred_beyond_the_tie_threshold(
    a: str, b: str, gap: int, p_a: float | None, margin: float | None
) -> None:
    pair = Pair(id="x", prompt=build_user_prompt("Well?"), a=a, b=b)
    (made,) = Length(prefer="shorter", tie_threshold=gap).annotate([pair], AnnotatorInputs())
    assert (made.p_a, made.margin) == (p_a, margin)


def test_shorter_is_the_opposite_of_longer() -> None:
    short, long = (
        Length(prefer="shorter").annotate(PAIRS, AnnotatorInputs()),
        Length().annotate(PAIRS, AnnotatorInputs()),
    )
    assert all((one.p_a or 0) + (other.p_a or 0) == 1 for one, other in zip(short, long, strict=True))
    assert {
        label.status
        for label in Length(prefer="shorter").annotate(
            [Pair.from_responses(build_user_prompt("?"), "yes", "may")], AnnotatorInputs()
        )
    } == {"abstained"}
