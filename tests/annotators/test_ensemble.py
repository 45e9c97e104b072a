"""Labels made of other arms' labels, against means and quantiles worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.annotators.aux_confidence import AuxConfidence
from trimtab.annotators.ensemble import Ensemble
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import StudyError
from trimtab.types import Annotation, Cost, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "yes", "no") for place in range(5)]
COST = Cost(prompt_tokens=7, calls=2)


def labels(*p_a: float | None) -> dict[str, Annotation]:
    """Labels of the first pairs; None abstains."""
    made = [(pair.id, each) for pair, each in zip(PAIRS, p_a, strict=False)]
    return {
        key: Annotation(pair_id=key, p_a=each, margin=each and 3.0, status="ok" if each else "abstained", cost=COST)
        for key, each in made
    }


def failed(pair: Pair) -> dict[str, Annotation]:
    return {pair.id: Annotation(pair_id=pair.id, p_a=None, status="failed", note="timed out", cost=COST)}


def mean(*p_a: float | None) -> Annotation:
    arms = {f"arm{place}": labels(each) for place, each in enumerate(p_a)}
    (made,) = Ensemble(arms=tuple(arms)).annotate(PAIRS[:1], AnnotatorInputs(labels=arms))
    return made


def corrected(weak: dict[str, Annotation], strong: dict[str, Annotation], **settings: Any) -> list[Annotation]:
    asked = AuxConfidence(weak="w", strong="s", **settings)
    return asked.annotate([pair for pair in PAIRS if pair.id in weak], AnnotatorInputs(labels={"w": weak, "s": strong}))


@pytest.mark.parametrize(
    ("p_a", "expected"), [((0.9, 0.4), 0.65), ((0.2, 0.1, 0.9), 0.4), ((0.9, None), 0.7), ((1.0, 1.0), 1.0)]
)
def test_the_probability_is_the_mean_and_who_abstains_counts_as_one_half(
    p_a: tuple[float | None, ...], expected: float
) -> None:
    assert mean(*p_a).p_a == pytest.approx(expected)


@pytest.mark.parametrize("p_a", [(0.7, 0.3), (0.9, 0.1), (None, None), (0.2, 0.8, None)])
def test_arms_that_cancel_abstain(p_a: tuple[float | None, ...]) -> None:
    assert (mean(*p_a).status, mean(*p_a).note) == ("abstained", "tie")


def test_an_arm_that_failed_fails_the_label_and_is_named() -> None:
    given = AnnotatorInputs(labels={"w": labels(0.9), "s": failed(PAIRS[0])})
    (made,) = Ensemble(arms=("w", "s")).annotate(PAIRS[:1], given)
    assert (made.status, made.note, made.cost) == ("failed", "s: timed out", COST + COST)


def test_an_ensemble_tells_what_each_arm_said_and_what_they_took_together() -> None:
    made = mean(0.9, None)
    assert made.detail == {"arms": {"arm0": 0.9, "arm1": None}}
    assert made.cost == Cost(prompt_tokens=14, calls=4)


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(StudyError, match="arms"):
        build_component("annotators", {"kind": "ensemble", "arms": ["weak"]})


@pytest.mark.parametrize(
    ("quantile", "taken"),
    [
        # confidences 0.6, 0.7, 0.8, 0.9, 1.0
        (0.0, 5),
        (0.2, 4),
        (0.21, 3),
        # ceil(2.5) = 3 do not exceed 0.8
        (0.5, 2),
        (1.0, 0),
    ],
)
def test_the_strong_label_is_taken_above_the_quantile_of_its_confidence(quantile: float, taken: int) -> None:
    strong = labels(0.6, 0.3, 0.8, 0.1, 1.0)
    made = corrected(labels(0.55, 0.55, 0.55, 0.55, 0.55), strong, quantile=quantile)
    assert [each.detail["label_from"] for each in made] == ["weak"] * (5 - taken) + ["strong"] * taken
    assert [each.p_a for each in made] == [0.55] * (5 - taken) + [0.6, 0.3, 0.8, 0.1, 1.0][5 - taken :]


def test_half_is_the_default_and_equal_confidence_is_not_above() -> None:
    strong = labels(0.9, 0.1, 0.9, 0.6, 0.6)
    assert {each.detail["label_from"] for each in corrected(labels(0.5, 0.6, 0.7, 0.8, 0.9), strong)} == {"weak"}


def test_an_absolute_threshold_does_without_the_others() -> None:
    made = corrected(labels(0.4, 0.4, 0.4), labels(0.8, 0.81, 0.15), threshold=0.8)
    assert [each.p_a for each in made] == [0.4, 0.81, 0.15]


def test_a_label_is_the_same_when_fewer_pairs_are_labeled() -> None:
    weak, strong = labels(0.6, 0.6, 0.6, 0.6, 0.6), labels(0.9, 0.8, 0.7, 0.99, 0.55)
    whole = corrected(weak, strong)
    alone = [corrected({key: label}, strong)[0] for key, label in weak.items()]
    assert sorted(alone, key=lambda each: each.pair_id) == sorted(whole, key=lambda each: each.pair_id)


def test_a_strong_label_that_abstained_or_failed_corrects_nothing() -> None:
    (abstained,) = corrected(labels(0.6), labels(None), quantile=0.0)
    (silent,) = corrected(labels(0.6), failed(PAIRS[0]), threshold=0.5)
    assert [abstained.p_a, silent.p_a] == [0.6, 0.6]


def test_a_weak_label_that_failed_stays_so_unless_it_is_corrected() -> None:
    (kept,) = corrected(failed(PAIRS[0]), labels(0.7), threshold=0.8)
    (mended,) = corrected(failed(PAIRS[0]), labels(0.9), threshold=0.8)
    assert (kept.status, kept.note, mended.p_a, mended.note) == ("failed", "timed out", 0.9, "")


def test_a_correction_tells_both_probabilities_costs_both_labels_and_has_no_margin() -> None:
    (made,) = corrected(labels(0.6), labels(0.2), threshold=0.7)
    assert made.detail == {"weak": 0.6, "strong": 0.2, "label_from": "strong"}
    assert (made.cost, made.margin) == (COST + COST, None)


def test_it_takes_either_a_quantile_or_a_threshold() -> None:
    with pytest.raises(StudyError, match="set either quantile or threshold"):
        build_component(
            "annotators", {"kind": "aux_confidence", "weak": "w", "strong": "s", "quantile": 0.5, "threshold": 0.9}
        )


def test_they_read_the_arms_that_they_name() -> None:
    assert list(Ensemble(arms=("x", "y", "z")).requirements().arms) == ["x", "y", "z"]
    assert list(AuxConfidence(weak="x", strong="y").requirements().arms) == ["x", "y"]
