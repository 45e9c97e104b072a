"""Labels combined from other arms, against manually computed means and quantiles."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.annotators.aux_confidence import AuxConfidence
from trimtab.annotators.ensemble import Ensemble
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import StudyError
from trimtab.types import Annotation, Cost, Pair, build_user_prompt

PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}?"), "yes", "no") for index in range(5)]
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
    arms = {f"arm{index}": labels(each) for index, each in enumerate(p_a)}
    (made,) = Ensemble(arms=tuple(arms)).annotate(PAIRS[:1], AnnotatorInputs(labels=arms))
    return made


def aux_confidence(weak: dict[str, Annotation], strong: dict[str, Annotation], **settings: Any) -> list[Annotation]:
    asked = AuxConfidence(weak="w", strong="s", **settings)
    return asked.annotate([pair for pair in PAIRS if pair.id in weak], AnnotatorInputs(labels={"w": weak, "s": strong}))


@pytest.mark.parametrize(
    ("p_a", "expected"), [((0.9, 0.4), 0.65), ((0.2, 0.1, 0.9), 0.4), ((0.9, None), 0.7), ((1.0, 1.0), 1.0)]
)
def test_the_probability_is_the_mean_and_an_abstention_counts_as_one_half(
    p_a: tuple[float | None, ...], expected: float
) -> None:
    assert mean(*p_a).p_a == pytest.approx(expected)


@pytest.mark.parametrize("p_a", [(0.7, 0.3), (0.9, 0.1), (None, None), (0.2, 0.8, None)])
def test_probabilities_that_cancel_out_abstain(p_a: tuple[float | None, ...]) -> None:
    assert (mean(*p_a).status, mean(*p_a).note) == ("abstained", "tie")


def test_an_arm_that_failed_fails_the_label_and_is_named() -> None:
    inputs = AnnotatorInputs(labels={"w": labels(0.9), "s": failed(PAIRS[0])})
    (made,) = Ensemble(arms=("w", "s")).annotate(PAIRS[:1], inputs)
    assert (made.status, made.note, made.cost) == ("failed", "s: timed out", COST + COST)


def test_an_ensemble_reports_each_arms_probability_and_the_total_cost() -> None:
    made = mean(0.9, None)
    assert made.detail == {"arms": {"arm0": 0.9, "arm1": None}}
    assert made.cost == Cost(prompt_tokens=14, calls=4)


def test_an_ensemble_of_one_arm_is_rejected() -> None:
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
def test_the_strong_label_is_used_above_the_confidence_quantile(quantile: float, taken: int) -> None:
    strong = labels(0.6, 0.3, 0.8, 0.1, 1.0)
    made = aux_confidence(labels(0.55, 0.55, 0.55, 0.55, 0.55), strong, quantile=quantile)
    assert [each.detail["label_from"] for each in made] == ["weak"] * (5 - taken) + ["strong"] * taken
    assert [each.p_a for each in made] == [0.55] * (5 - taken) + [0.6, 0.3, 0.8, 0.1, 1.0][5 - taken :]


def test_the_default_is_the_median_and_equal_confidence_is_not_above_it() -> None:
    strong = labels(0.9, 0.1, 0.9, 0.6, 0.6)
    assert {each.detail["label_from"] for each in aux_confidence(labels(0.5, 0.6, 0.7, 0.8, 0.9), strong)} == {"weak"}


def test_an_absolute_threshold_does_not_depend_on_other_labels() -> None:
    made = aux_confidence(labels(0.4, 0.4, 0.4), labels(0.8, 0.81, 0.15), threshold=0.8)
    assert [each.p_a for each in made] == [0.4, 0.81, 0.15]


def test_a_label_is_the_same_when_fewer_pairs_are_labeled() -> None:
    weak, strong = labels(0.6, 0.6, 0.6, 0.6, 0.6), labels(0.9, 0.8, 0.7, 0.99, 0.55)
    whole = aux_confidence(weak, strong)
    alone = [aux_confidence({key: label}, strong)[0] for key, label in weak.items()]
    assert sorted(alone, key=lambda each: each.pair_id) == sorted(whole, key=lambda each: each.pair_id)


def test_a_strong_label_that_abstained_or_failed_replaces_nothing() -> None:
    (abstained,) = aux_confidence(labels(0.6), labels(None), quantile=0.0)
    (silent,) = aux_confidence(labels(0.6), failed(PAIRS[0]), threshold=0.5)
    assert [abstained.p_a, silent.p_a] == [0.6, 0.6]


def test_a_failed_weak_label_stays_failed_unless_it_is_replaced() -> None:
    (kept,) = aux_confidence(failed(PAIRS[0]), labels(0.7), threshold=0.8)
    (mended,) = aux_confidence(failed(PAIRS[0]), labels(0.9), threshold=0.8)
    assert (kept.status, kept.note, mended.p_a, mended.note) == ("failed", "timed out", 0.9, "")


def test_a_replaced_label_has_both_probabilities_the_total_cost_and_no_margin() -> None:
    (made,) = aux_confidence(labels(0.6), labels(0.2), threshold=0.7)
    assert made.detail == {"weak": 0.6, "strong": 0.2, "label_from": "strong"}
    assert (made.cost, made.margin) == (COST + COST, None)


def test_it_takes_either_a_quantile_or_a_threshold() -> None:
    with pytest.raises(StudyError, match="set either quantile or threshold"):
        build_component(
            "annotators", {"kind": "aux_confidence", "weak": "w", "strong": "s", "quantile": 0.5, "threshold": 0.9}
        )


def test_they_require_the_arms_in_their_settings() -> None:
    assert list(Ensemble(arms=("x", "y", "z")).requirements().arms) == ["x", "y", "z"]
    assert list(AuxConfidence(weak="x", strong="y").requirements().arms) == ["x", "y"]
