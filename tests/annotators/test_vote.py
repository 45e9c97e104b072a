"""Votes of several arms: manually computed shares and EM steps, and arms with known accuracies."""

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

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}?"), "yes", "no") for index in range(4000)]
COST = Cost(prompt_tokens=7, calls=2)
# Two pairs on which all agree, one on which the third differs, one on which two differ and the third abstains.
TABLE = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [1.0, -1.0, 0.0]])
COUNTS = np.array([2.0, 1.0, 1.0])
KNOWN = (0.9, 0.75, 0.65, 0.55)


def label(pair: Pair, probability: float | None) -> Annotation:
    status = "ok" if probability is not None else "abstained"
    return Annotation(pair_id=pair.id, p_a=probability, status=status, cost=COST)  # type: ignore[arg-type]


def inputs(*probabilities: float | None) -> AnnotatorInputs:
    return AnnotatorInputs(
        labels={f"arm{n}": {PAIRS[0].id: label(PAIRS[0], each)} for n, each in enumerate(probabilities)}
    )


def voted(by: str, *probabilities: float | None) -> Annotation:
    component = build_component(
        "annotators", {"kind": "vote", "arms": [f"arm{n}" for n in range(len(probabilities))], "by": by}
    )
    assert isinstance(component, Vote)
    (made,) = component.annotate(PAIRS[:1], inputs(*probabilities))
    return made


def sample_votes(accuracy: Sequence[float], silent: float, count: int = len(PAIRS)) -> tuple[list[int], list[Votes]]:
    """The true choice of each pair, and votes that are right with the voter's probability."""
    draw = random.Random(11)
    truth = [draw.choice((1, -1)) for _ in range(count)]
    votes = [tuple(0 if draw.random() < silent else t if draw.random() < a else -t for a in accuracy) for t in truth]
    return truth, votes


def tables(votes: Sequence[Votes], names: Sequence[str]) -> AnnotatorInputs:
    says = {1: 0.8, -1: 0.3, 0: None}
    return AnnotatorInputs(
        labels={
            name: {pair.id: label(pair, says[way[index]]) for pair, way in zip(PAIRS, votes, strict=True)}
            for index, name in enumerate(names)
        }
    )


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((0.51, 0.6, 0.01), 2 / 3), ((0.9, None, 0.8), 1.0), ((0.1, 0.2, None), 0.0), ((0.9, 0.8, 0.7, 0.2), 0.75)],
)
def test_the_majority_counts_votes_and_an_abstention_is_no_vote(
    probabilities: tuple[float | None, ...], expected: float
) -> None:
    assert voted("majority", *probabilities).p_a == pytest.approx(expected)


@pytest.mark.parametrize("probabilities", [(0.9, 0.4), (None, None), (0.5, None), (0.9, 0.4, None)])
def test_a_tied_vote_abstains(probabilities: tuple[float | None, ...]) -> None:
    made = voted("majority", *probabilities)
    assert (made.status, made.note, made.cost.calls) == ("abstained", "tie", 2 * len(probabilities))


def test_the_mean_is_that_of_an_ensemble() -> None:
    (ensemble,) = Ensemble(arms=("arm0", "arm1", "arm2")).annotate(PAIRS[:1], inputs(0.9, None, 0.8))
    assert voted("mean", 0.9, None, 0.8) == ensemble
    assert ensemble.p_a == pytest.approx(2.2 / 3)


@pytest.mark.parametrize("by", ["majority", "mean", "dawid_skene"])
def test_an_arm_that_failed_fails_the_label_and_is_named(by: str) -> None:
    broken = Annotation(pair_id=PAIRS[0].id, p_a=None, status="failed", note="timed out", cost=COST)
    labels = {**inputs(0.9, 0.8).labels, "arm2": {PAIRS[0].id: broken}}
    component = build_component("annotators", {"kind": "vote", "arms": ["arm0", "arm1", "arm2"], "by": by})
    assert isinstance(component, Vote)
    (made,) = component.annotate(PAIRS[:1], AnnotatorInputs(labels=labels))
    assert (made.status, made.note, made.cost) == ("failed", "arm2: timed out", COST + COST + COST)


def test_a_first_em_step_from_the_majority_matches_manual_calculation() -> None:
    found = update_accuracies(TABLE, COUNTS, np.array([1.0, 1.0, 0.5]))
    # adds one right and one wrong vote: (2 + 1 + 0.5 + 1) / (4 + 2), the same, and (2 + 0 + 1) / (3 + 2)
    assert found.tolist() == pytest.approx([0.75, 0.75, 0.6])
    # odds of 3, 3 and 1.5: 13.5 to 1, then 9 / 1.5 = 6 to 1, then 3 / 3
    assert compute_posterior(TABLE, found).tolist() == pytest.approx([13.5 / 14.5, 6 / 7, 0.5])


@pytest.mark.parametrize(
    ("votes", "odds"), [((1, 1, 1), 13.5), ((1, 1, -1), 6), ((1, -1, 1), 1.5), ((-1, 0, 0), 1 / 3), ((1, -1, 0), 1)]
)
def test_the_posterior_odds_are_the_product_of_the_voters_odds(votes: Votes, odds: float) -> None:
    assert compute_p_a(votes, (0.75, 0.75, 0.6)) == pytest.approx(odds / (1 + odds))
    assert compute_p_a(tuple(-each for each in votes), (0.75, 0.75, 0.6)) == pytest.approx(1 / (1 + odds))
    assert (compute_p_a(votes, (0.75, 0.75, 0.6)) == 0.5) == (odds == 1)


@pytest.mark.parametrize("silent", [0.0, 0.3])
def test_known_accuracies_are_recovered_without_true_labels(silent: float) -> None:
    _, votes = sample_votes(KNOWN, silent, count=40_000)
    assert estimate_accuracies(votes) == pytest.approx(KNOWN, abs=0.02)


def test_weighting_by_accuracy_beats_the_majority() -> None:
    truth, votes = sample_votes(KNOWN, 0.0)
    found = estimate_accuracies(votes)
    weighed = sum((compute_p_a(way, found) > 0.5) == (t > 0) for way, t in zip(votes, truth, strict=True))
    # A tied vote is right half the time. The best voter alone is right on 90%, and outweighs the others.
    heads = sum(0.5 if not sum(way) else float(sum(way) * t > 0) for way, t in zip(votes, truth, strict=True))
    assert weighed / len(truth) == pytest.approx(0.9, abs=0.02)
    assert heads / len(truth) < weighed / len(truth) - 0.04


def test_accuracies_do_not_depend_on_the_order_of_responses_or_pairs() -> None:
    _, votes = sample_votes(KNOWN, 0.2)
    turned = [tuple(-each for each in way) if n % 3 == 0 else way for n, way in enumerate(votes)]
    assert estimate_accuracies(turned) == estimate_accuracies(votes) == estimate_accuracies(votes[::-1])


def test_accuracies_are_flipped_if_most_votes_would_be_wrong() -> None:
    found = np.array([0.2, 0.3, 0.9])
    assert resolve_label_switching(found, np.array([10.0, 10.0, 10.0])).tolist() == pytest.approx([0.8, 0.7, 0.1])
    assert resolve_label_switching(found, np.array([1.0, 1.0, 10.0])) is found


def test_a_voter_that_always_abstains_has_accuracy_one_half() -> None:
    assert estimate_accuracies([(1, 1, 0), (-1, -1, 0)])[2] == 0.5
    assert estimate_accuracies([(0, 0, 0)]) == (0.5, 0.5, 0.5)
    assert estimate_accuracies([]) == ()


def test_labels_have_the_accuracies_and_depend_on_the_full_set_only() -> None:
    _, votes = sample_votes(KNOWN[:3], 0.2)
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
def test_an_invalid_vote_is_rejected(settings: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        build_component("annotators", {"kind": "vote", **settings})


def test_it_requires_the_labels_of_its_arms() -> None:
    assert list(Vote(arms=("x", "y")).requirements().arms) == ["x", "y"]
