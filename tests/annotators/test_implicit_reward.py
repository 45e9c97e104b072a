"""The implicit reward, against manually computed sums and sigmoids."""

from __future__ import annotations

import math

import pytest

from trimtab.annotators.implicit_reward import ImplicitReward
from trimtab.core.annotator_inputs import AnnotatorInputs, ResponseScores
from trimtab.types import Annotation, Cost, Pair, build_user_prompt

PAIR = Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.")
REFERENCE = (-12.0, -13.0)


def labeled(policy: tuple[float, float], beta: float = 0.1, reference: tuple[float, float] = REFERENCE) -> Annotation:
    tables = {
        name: {PAIR.id: ResponseScores(a=a, b=b, n_a=3, n_b=5)}
        for name, (a, b) in {"@weak": policy, "@weak.sft": reference}.items()
    }
    (label,) = ImplicitReward(beta=beta).annotate([PAIR], AnnotatorInputs(logprobs=tables))
    return label


@pytest.mark.parametrize(
    ("policy", "beta", "margin", "p_a"),
    [
        # (-10 + 12) - (-14 + 13) = 3; 1 / (1 + e^-0.3) with e^-0.3 = 0.740818
        ((-10.0, -14.0), 0.1, 3.0, 0.574443),
        # swapped: (-13 + 12) - (-11 + 13) = -3
        ((-13.0, -11.0), 0.1, -3.0, 0.425557),
        # beta 1: 1 / (1 + e^-3) with e^-3 = 0.049787
        ((-10.0, -14.0), 1.0, 3.0, 0.952574),
    ],
)
def test_the_margin_is_in_nats_without_beta_and_the_probability_is_its_sigmoid(
    policy: tuple[float, float], beta: float, margin: float, p_a: float
) -> None:
    label = labeled(policy, beta)
    assert label.margin == margin
    assert label.p_a == pytest.approx(p_a, abs=1e-6)


def test_the_mean_over_tokens_divides_each_log_ratio_by_the_length() -> None:
    # (-10.5 + 12) / 3 - (-10.75 + 13) / 5 = 0.5 - 0.45 = 0.05, and the sums are 1.5 - 2.25 = -0.75
    tables = {
        name: {PAIR.id: ResponseScores(a=a, b=b, n_a=3, n_b=5)}
        for name, (a, b) in {"@weak": (-10.5, -10.75), "@weak.sft": REFERENCE}.items()
    }
    summed, mean = (
        ImplicitReward(beta=2.0, average_log_prob=average).annotate([PAIR], AnnotatorInputs(logprobs=tables))[0]
        for average in (False, True)
    )
    assert (summed.margin, summed.choice) == (-0.75, "b")
    assert mean.margin == pytest.approx(0.05)
    assert mean.choice == "a"
    assert mean.p_a == pytest.approx(1 / (1 + math.exp(-0.1)))


def test_it_prefers_the_response_that_gained_more_not_the_more_likely_one() -> None:
    label = labeled((-20.0, -5.0), reference=(-30.0, -6.0))
    assert label.choice == "a"


def test_another_beta_never_changes_the_choice() -> None:
    assert {labeled((-12.5, -13.1), beta).choice for beta in (0.01, 0.1, 1.0, 10.0)} == {"b"}


def test_an_exact_tie_abstains() -> None:
    label = labeled((-11.0, -12.0))
    assert (label.status, label.p_a, label.note) == ("abstained", None, "tie")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_margin_that_is_not_finite_fails(value: float) -> None:
    label = labeled((value, -12.0))
    assert (label.status, label.p_a, label.margin) == ("failed", None, None)
    assert label.note.startswith("margin ")


@pytest.mark.parametrize(("policy", "p_a"), [((2000.0, -2000.0), 1.0), ((-4000.0, 2000.0), 0.0)])
def test_a_margin_of_thousands_of_nats_does_not_overflow(policy: tuple[float, float], p_a: float) -> None:
    assert labeled(policy, beta=1.0).p_a == p_a


def test_the_cost_counts_the_tokens_of_both_responses_by_both_models() -> None:
    assert labeled((-10.0, -14.0)).cost == Cost(prompt_tokens=16)


def test_it_requires_the_models_in_its_settings() -> None:
    assert list(ImplicitReward().requirements().logprob_models) == ["@weak", "@weak.sft"]
    assert list(ImplicitReward(policy="./tuned", reference="./plain").requirements().logprob_models) == [
        "./tuned",
        "./plain",
    ]
