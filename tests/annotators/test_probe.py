"""The linear probe: fit, invariances, and rejected inputs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trimtab.annotators._shared.linear_probe import C_GRID, fit_probe
from trimtab.annotators.probe import Probe
from trimtab.core.annotator_inputs import AnnotatorInputs, PairFeatures
from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.types import Choice, Pair, build_user_prompt

N, WIDTH = 80, 5
draw = np.random.default_rng(3)
TRUE = np.array([2.0, -1.0, 0.0, 0.0, 0.5])
ROWS = draw.normal(size=(N, WIDTH))
CHOSE_A = draw.random(N) < 1 / (1 + np.exp(-ROWS @ TRUE))
NAMES = [f"prompt {index}" for index in range(N)]


def pairs(human: list[Choice | None]) -> list[Pair]:
    made = [
        Pair(id=f"{index:03d}", prompt=build_user_prompt(NAMES[index]), a="x", b="y", human=each)
        for index, each in enumerate(human)
    ]
    return made


HUMAN: list[Choice | None] = ["a" if each else "b" for each in CHOSE_A]
LABELED = pairs(HUMAN)
FEATURES = {
    pair.id: PairFeatures(values=ROWS[index].astype(np.float32), tokens=7) for index, pair in enumerate(LABELED)
}
FRESH = [Pair(id="fresh", prompt=build_user_prompt("fresh"), a="x", b="y")]
GIVEN = AnnotatorInputs(labeled_pairs=LABELED, features={**FEATURES, "fresh": PairFeatures(values=TRUE, tokens=9)})


def test_the_weights_are_those_of_scikit_learn_on_rows_of_unit_mean_square() -> None:
    found = fit_probe(ROWS, list(CHOSE_A), NAMES)
    scale = np.sqrt((ROWS**2).mean(axis=0) * WIDTH)
    model = LogisticRegression(C=found.regularization_c, fit_intercept=False, tol=1e-8, max_iter=5000).fit(
        ROWS / scale, CHOSE_A
    )
    assert found.weights == pytest.approx(model.coef_[0] / scale, abs=1e-3)
    assert found.regularization_c in C_GRID
    assert found.cv_log_loss < math.log(2)


def test_the_scale_of_a_column_and_the_order_of_the_rows_do_not_matter() -> None:
    whole = fit_probe(ROWS, list(CHOSE_A), NAMES)
    stretched = fit_probe(ROWS * np.array([100, 1, 1, 1, 0.01]), list(CHOSE_A), NAMES)
    assert stretched.weights * np.array([100, 1, 1, 1, 0.01]) == pytest.approx(whole.weights, rel=1e-3)
    back = fit_probe(ROWS[::-1], list(CHOSE_A[::-1]), NAMES[::-1])
    assert back.weights == pytest.approx(whole.weights, abs=1e-4)


def test_constant_columns_get_no_weight_and_random_labels_the_strongest_penalty() -> None:
    silent = fit_probe(np.concatenate([ROWS, np.zeros((N, 1))], axis=1), list(CHOSE_A), NAMES)
    assert silent.weights[-1] == 0
    coin = np.random.default_rng(0).random(N) < 0.5
    assert fit_probe(np.random.default_rng(1).normal(size=(N, 200)), list(coin), NAMES).regularization_c <= 0.1


def test_swapped_responses_get_the_opposite_and_a_tie_abstains() -> None:
    inputs = replace(GIVEN, features={**GIVEN.features, "tie": PairFeatures(values=np.zeros(WIDTH), tokens=9)})
    (label,) = Probe().annotate(FRESH, inputs)
    opposite = replace(inputs, features={**inputs.features, "fresh": PairFeatures(values=-TRUE, tokens=9)})
    (other,) = Probe().annotate(FRESH, opposite)
    assert label.margin == pytest.approx(-(other.margin or 0))
    assert label.choice == "a"
    assert label.cost.prompt_tokens == 9
    (tie,) = Probe().annotate([replace(FRESH[0], id="tie")], inputs)
    assert (tie.status, tie.note) == ("abstained", "tie")


@pytest.mark.parametrize(
    ("labeled", "message"),
    [
        (LABELED[:19], "probe: 19 labeled pairs to train on, expected at least 20"),
        (pairs(["a"] * N), "the human label is 'a' for all 80 labeled pairs"),
        (pairs([None] * N), "probe: 0 labeled pairs"),
    ],
)
def test_too_few_labels_and_labels_of_one_class_are_rejected(labeled: list[Pair], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Probe().annotate(FRESH, replace(GIVEN, labeled_pairs=labeled))


def test_hidden_states_that_are_not_finite_are_rejected_for_labeled_pairs_and_fail_others() -> None:
    nan = PairFeatures(values=np.full(WIDTH, np.nan), tokens=9)
    with pytest.raises(DataError, match=r"hidden states of labeled pair 004 are not finite.*dtype: float32"):
        Probe().annotate(FRESH, replace(GIVEN, features={**GIVEN.features, "004": nan}))
    (label,) = Probe().annotate(FRESH, replace(GIVEN, features={**GIVEN.features, "fresh": nan}))
    assert (label.status, label.p_a, label.note) == ("failed", None, "log-odds nan")


def test_a_fraction_without_self_training_is_rejected() -> None:
    with pytest.raises(
        StudyError, match=r"self_training_fraction: has no effect.*set self_training_rounds to 2 or more"
    ):
        build_component("annotators", {"kind": "probe", "self_training_fraction": 0.5})
