"""Noisy human labels: exact counts, deterministic by seed."""

from __future__ import annotations

import pytest

from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import StudyError
from trimtab.filters.agreement import Agreement
from trimtab.types import Annotation, Choice, Pair, build_human_annotation, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes", "no", "first") for n in range(100)]
UNLABELED = [Pair.from_responses(build_user_prompt(f"Riddle {n}?"), "yes", "no") for n in range(10)]
HUMAN: dict[str, Choice] = {pair.id: pair.human for pair in PAIRS if pair.human is not None}


def other_arm(wrong: int, abstained: int = 0) -> dict[str, Annotation]:
    """Labels: the first `abstained` abstain, the next `wrong` differ from the human labels."""
    labels = {}
    for index, pair in enumerate(PAIRS):
        if index < abstained:
            labels[pair.id] = Annotation(pair_id=pair.id, p_a=None, status="abstained")
        else:
            right = index >= abstained + wrong
            labels[pair.id] = Annotation(pair_id=pair.id, p_a=0.9 if (pair.human == "a") == right else 0.1)
    return labels


def flipped(flip: NoisyHuman, labels: dict[str, Annotation] | None = None) -> set[str]:
    inputs = AnnotatorInputs(human_labels=HUMAN, labels={"weak": labels} if labels else {})
    made = dict(zip(PAIRS, flip.annotate(PAIRS, inputs), strict=True))
    turned = {pair.id for pair, label in made.items() if label.choice != pair.human}
    assert turned == {label.pair_id for label in made.values() if label.note == "flipped"}
    return turned


@pytest.mark.parametrize("wrong", [0, 1, 37, 100])
def test_it_flips_exactly_as_many_labels_as_the_other_arm_gets_wrong(wrong: int) -> None:
    assert len(flipped(NoisyHuman(arm="weak"), other_arm(wrong))) == wrong


def test_flipped_labels_are_independent_of_the_arms_errors() -> None:
    labels = other_arm(wrong=40)
    wrong = {pair.id for pair in PAIRS if labels[pair.id].choice != pair.human}
    turned = flipped(NoisyHuman(arm="weak"), labels)
    # 40 of 100 sampled independently of the 40: 16 in common, within four standard errors of 2.4
    assert 6 <= len(turned & wrong) <= 26


def test_the_matched_rate_is_relative_to_the_labels_of_the_other_arm() -> None:
    assert len(flipped(NoisyHuman(arm="weak"), other_arm(wrong=20, abstained=20))) == 25


def test_flipped_labels_split_into_correct_and_flipped_ones_that_partition_the_pairs() -> None:
    """Table 11 of Tao & Li (2025): the flipped labels, their correct part, and the other part, all flipped."""
    flip = NoisyHuman(arm="weak")
    union = flip.annotate(PAIRS, AnnotatorInputs(human_labels=HUMAN, labels={"weak": other_arm(wrong=39)}))
    inputs = AnnotatorInputs(labels={"flipped": {label.pair_id: label for label in union}})
    all_flipped = NoisyHuman(noise_rate=1.0).annotate(PAIRS, AnnotatorInputs(human_labels=HUMAN))
    correct = Agreement(arm="flipped").keep([build_human_annotation(pair) for pair in PAIRS], inputs)
    wrong = Agreement(arm="flipped").keep(all_flipped, inputs)
    assert (sum(correct), sum(wrong)) == (61, 39)
    assert all(here != there for here, there in zip(correct, wrong, strict=True))


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0.124, 12), (0.5, 50), (1.0, 100)])
def test_the_noise_rate_is_the_fraction_of_flipped_labels(rate: float, count: int) -> None:
    assert len(flipped(NoisyHuman(noise_rate=rate))) == count


def test_the_same_seed_flips_the_same_labels_and_another_seed_others() -> None:
    assert flipped(NoisyHuman(noise_rate=0.3, seed=1)) == flipped(NoisyHuman(noise_rate=0.3, seed=1))
    assert flipped(NoisyHuman(noise_rate=0.3, seed=1)) != flipped(NoisyHuman(noise_rate=0.3, seed=2))


def test_a_higher_rate_flips_a_superset() -> None:
    assert flipped(NoisyHuman(noise_rate=0.2)) < flipped(NoisyHuman(noise_rate=0.4))


def test_a_pair_without_a_human_label_abstains() -> None:
    labels = NoisyHuman(noise_rate=1.0).annotate(UNLABELED, AnnotatorInputs())
    assert {(label.status, label.p_a, label.note) for label in labels} == {("abstained", None, "no human label")}


@pytest.mark.parametrize("settings", [{}, {"rate": 0.1, "like": "weak"}])
def test_it_needs_either_a_rate_or_an_arm(settings: dict[str, object]) -> None:
    with pytest.raises(StudyError, match="set either noise_rate or arm"):
        build_component("annotators", {"kind": "noisy_human", **settings})


def test_it_requires_the_labels_of_its_arm() -> None:
    assert (list(NoisyHuman(arm="x").requirements().arms), list(NoisyHuman(noise_rate=0.1).requirements().arms)) == (
        ["x"],
        [],
    )
