"""Votes of several arms: shares and an EM step worked by hand, and arms whose accuracies are known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from trimtab.annotators.ensemble import Ensemble
from trimtab.annotators.vote import Vote
from trimtab.annotators.vote.dawid_skene import (
    Votes,
    compute_p_a,
    compute_posterior,
    estimate_accuracies,
    resolve_label_switching,
    update_accuracies,
)
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import StudyError
from trimtab.types import Annotation, Cost, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "yes", "no") for place in range(4000)]
COST = Cost(prompt_tokens=7, calls=2)
# Two pairs on which all agree, one on which the third differs, one on which two differ and the third says nothing.
TABLE = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [1.0, -1.0, 0.0]])
COUNTS = np.array([2.0, 1.0, 1.0])
KNOWN = (0.9, 0.75, 0.65, 0.55)


def label(pair: Pair, probability: float | None) -> Annotation:
    status = "ok" if probability is not None else "abstained"
    return Annotation(pair_id=pair.id, p_a=probability, status=status, cost=COST)  # type: ignore[arg-type]


def given(*probabilities: float | None) -> AnnotatorInputs:
    return AnnotatorInputs(
        labels={f"arm{n}": {PAIRS[0].id: label(PAIRS[0], each)} for n, each in enumerate(probabilities)}
    )


def voted(by: str, *probabilities: float | None) -> Annotation:
    chosen = build_component(
        "annotators", {"kind": "vote", "arms": [f"arm{n}" for n in range(len(probabilities))], "by": by}
    )
    assert isinstance(chosen, Vote)
    (made,) = chosen.annotate(PAIRS[:1], given(*probabilities))
    return made


def drawn(accuracy: Sequence[float], silent: float, count: int = len(PAIRS)) -> tuple[list[int], list[Votes]]:
    """What is true of each pair, and votes that are each right with the voter's probability."""
    draw = random.Random(11)
    truth = [draw.choice((1, -1)) for _ in range(count)]
    votes = [tuple(0 if draw.random() < silent else t if draw.random() < a else -t for a in accuracy) for t in truth]
    return truth, votes


def tables(votes: Sequence[Votes], names: Sequence[str]) -> AnnotatorInputs:
    says = {1: 0.8, -1: 0.3, 0: None}
    return AnnotatorInputs(
        labels={
            name: {pair.id: label(pair, says[way[place]]) for pair, way in zip(PAIRS, votes, strict=True)}
            for place, name in enumerate(names)
        }
    )


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((0.51, 0.6, 0.01), 2 / 3), ((0.9, None, 0.8), 1.0), ((0.1, 0.2, None), 0.0), ((0.9, 0.8, 0.7, 0.2), 0.75)],
)
def test_the_majority_counts_heads_and_who_abstains_has_none(
    probabilities: tuple[float | None, ...], expected: float
) -> None:
    assert voted("majority", *probabilities).p_a == pytest.approx(expected)


@pytest.mark.parametrize("probabilities", [(0.9, 0.4), (None, None), (0.5, None), (0.9, 0.4, None)])
def test_a_tie_of_heads_abstains(probabilities: tuple[float | None, ...]) -> None:
    made = voted("majority", *probabilities)
    assert (made.status, made.note, made.cost.calls) == ("abstained", "tie", 2 * len(probabilities))


def test_the_mean_is_that_of_an_ensemble() -> None:
    (ensemble,) = Ensemble(arms=("arm0", "arm1", "arm2")).annotate(PAIRS[:1], given(0.9, None, 0.8))
    assert voted("mean", 0.9, None, 0.8) == ensemble
    assert ensemble.p_a == pytest.approx(2.2 / 3)


@pytest.mark.parametrize("by", ["majority", "mean", "dawid_skene"])
def test_an_arm_that_failed_fails_the_label_and_is_named(by: str) -> None:
    broken = Annotation(pair_id=PAIRS[0].id, p_a=None, status="failed", note="timed out", cost=COST)
    labels = {**given(0.9, 0.8).labels, "arm2": {PAIRS[0].id: broken}}
    chosen = build_component("annotators", {"kind": "vote", "arms": ["arm0", "arm1", "arm2"], "by": by})
    assert isinstance(chosen, Vote)
    (made,) = chosen.annotate(PAIRS[:1], AnnotatorInputs(labels=labels))
    assert (made.status, made.note, made.cost) == ("failed", "arm2: timed out", COST + COST + COST)


def test_a_first_step_from_the_majority_is_what_a_hand_makes_of_it() -> None:
    found = update_accuracies(TABLE, COUNTS, np.array([1.0, 1.0, 0.5]))
    # one right and one wrong are added: (2 + 1 + 0.5 + 1) / (4 + 2), the same, and (2 + 0 + 1) / (3 + 2)
    assert found.tolist() == pytest.approx([0.75, 0.75, 0.6])
    # odds of 3, 3 and 1.5: 13.5 to 1, then 9 / 1.5 = 6 to 1, then 3 / 3
    assert compute_posterior(TABLE, found).tolist() == pytest.approx([13.5 / 14.5, 6 / 7, 0.5])


@pytest.mark.parametrize(
    ("votes", "odds"), [((1, 1, 1), 13.5), ((1, 1, -1), 6), ((1, -1, 1), 1.5), ((-1, 0, 0), 1 / 3), ((1, -1, 0), 1)]
)
def test_a_label_is_what_the_voters_odds_multiply_to(votes: Votes, odds: float) -> None:
    assert compute_p_a(votes, (0.75, 0.75, 0.6)) == pytest.approx(odds / (1 + odds))
    assert compute_p_a(tuple(-each for each in votes), (0.75, 0.75, 0.6)) == pytest.approx(1 / (1 + odds))
    assert (compute_p_a(votes, (0.75, 0.75, 0.6)) == 0.5) == (odds == 1)


@pytest.mark.parametrize("silent", [0.0, 0.3])
def test_known_accuracies_are_found_without_the_truth(silent: float) -> None:
    _, votes = drawn(KNOWN, silent, count=40_000)
    assert estimate_accuracies(votes) == pytest.approx(KNOWN, abs=0.02)


def test_voters_of_known_accuracy_are_right_more_often_together_than_by_heads() -> None:
    truth, votes = drawn(KNOWN, 0.0)
    found = estimate_accuracies(votes)
    weighed = sum((compute_p_a(way, found) > 0.5) == (t > 0) for way, t in zip(votes, truth, strict=True))
    # A tie of heads is right half the time. The best voter alone is right on 90 %, and its word outweighs the others'.
    heads = sum(0.5 if not sum(way) else float(sum(way) * t > 0) for way, t in zip(votes, truth, strict=True))
    assert weighed / len(truth) == pytest.approx(0.9, abs=0.02)
    assert heads / len(truth) < weighed / len(truth) - 0.04


def test_what_stands_as_a_and_the_order_of_the_pairs_do_not_move_the_accuracies() -> None:
    _, votes = drawn(KNOWN, 0.2)
    turned = [tuple(-each for each in way) if n % 3 == 0 else way for n, way in enumerate(votes)]
    assert estimate_accuracies(turned) == estimate_accuracies(votes) == estimate_accuracies(votes[::-1])


def test_voters_who_would_be_wrong_more_often_than_right_are_turned_over() -> None:
    found = np.array([0.2, 0.3, 0.9])
    assert resolve_label_switching(found, np.array([10.0, 10.0, 10.0])).tolist() == pytest.approx([0.8, 0.7, 0.1])
    assert resolve_label_switching(found, np.array([1.0, 1.0, 10.0])) is found


def test_who_never_votes_is_worth_nothing() -> None:
    assert estimate_accuracies([(1, 1, 0), (-1, -1, 0)])[2] == 0.5
    assert estimate_accuracies([(0, 0, 0)]) == (0.5, 0.5, 0.5)
    assert estimate_accuracies([]) == ()


def test_labels_tell_the_accuracies_and_hang_on_the_whole_set_alone() -> None:
    _, votes = drawn(KNOWN[:3], 0.2)
    asked, pool = Vote(arms=("x", "y", "z"), by="dawid_skene"), tables(votes, "xyz")
    some = asked.annotate(PAIRS[:5], pool)
    assert [asked.annotate([pair], pool)[0] for pair in PAIRS[:5]] == some
    accuracy = estimate_accuracies(votes)
    assert some[0].detail["accuracy"] == dict(zip("xyz", accuracy, strict=True))
    assert [each.p_a or 0.5 for each in some] == [compute_p_a(way, accuracy) for way in votes[:5]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ["x"]}, "arms: Tuple should have at least 2 items"),
        ({"arms": ["x", "x"]}, "'x' is listed twice"),
        ({"arms": ["x", "y"], "by": "dawid_skene"}, "at least three arms"),
        ({"arms": ["x", "y"], "by": "loudest"}, "by"),
    ],
)
def test_a_vote_that_cannot_be_held_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        build_component("annotators", {"kind": "vote", **settings})


def test_it_reads_the_labels_of_the_arms_that_vote() -> None:
    assert list(Vote(arms=("x", "y")).requirements().arms) == ["x", "y"]
