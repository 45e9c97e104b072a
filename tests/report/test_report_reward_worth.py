"""What a gold reward is worth is told by its intervals: against a coin, and against the rule of length."""

from __future__ import annotations

import pytest

from trimtab.report.collect.rewards import (
    RewardInfo,
    build_reward_warnings,
    compute_reward_correctness,
    format_proxy_note,
)
from trimtab.types import Choice, Message, Metric, Pair

LEAD = Metric(value=0.10, low=0.02, high=0.18, n=200)
NO_LEAD = Metric(value=0.02, low=-0.05, high=0.09, n=200)
LONGER = Metric(value=0.55, low=0.48, high=0.62, n=200)


def pair(key: str, a: str, b: str, human: Choice | None) -> Pair:
    return Pair(id=key, prompt=(Message(role="user", content=key),), a=a, b=b, human=human)


def agreement(value: float, low: float | None, high: float | None) -> Metric:
    return Metric(value=value, low=low, high=high, n=200)


def test_ties_count_one_half_and_both_rules_are_told_of_the_same_pairs() -> None:
    test = [
        pair("right", "long", "no", "a"),
        pair("wrong", "yes", "longer", "b"),
        pair("tie", "same", "size", "a"),
        pair("tie of the reward alone", "long", "no", "b"),
        pair("no human", "long", "no", None),
        pair("no reward", "long", "no", "a"),
    ]
    gaps = {"right": 0.5, "wrong": 2.0, "tie": 0.0, "tie of the reward alone": 0.0, "no human": 1.0}
    ours, theirs = compute_reward_correctness(test, gaps)
    assert ours == {"right": 1.0, "wrong": 0.0, "tie": 0.5, "tie of the reward alone": 0.5}
    assert theirs == {"right": 1.0, "wrong": 1.0, "tie": 0.5, "tie of the reward alone": 0.0}


def test_a_reward_above_a_coin_and_above_length_needs_no_warning() -> None:
    assert build_reward_warnings("x", agreement(0.65, 0.58, 0.72), LONGER, LEAD) == ()


@pytest.mark.parametrize("low", [0.41, 0.5, None])
def test_a_reward_that_may_be_a_coin_is_said_to_be_like_one(low: float | None) -> None:
    (said,) = build_reward_warnings("x", agreement(0.52, low, None if low is None else 0.63), LONGER, LEAD)
    assert said.startswith("Gold reward x is not told apart from a coin by its agreement with people, 0.520")
    assert said.endswith("(n = 200 pairs, ties as halves).")


def test_a_reward_below_a_coin_is_said_to_prefer_what_people_do_not() -> None:
    (said,) = build_reward_warnings("x", agreement(0.40, 0.33, 0.47), LONGER, NO_LEAD)
    assert said.startswith("Gold reward x prefers what people do not: it agrees with them on 0.400 [0.330, 0.470]")


def test_a_reward_that_may_measure_length_is_said_to() -> None:
    assert build_reward_warnings("x", agreement(0.57, 0.51, 0.64), LONGER, NO_LEAD) == (
        "Gold reward x is not shown to know more than length: it agrees with people on 0.570 [0.510, 0.640] (n = 200 pairs, "
        "ties as halves), and the rule that the longer response is the better on 0.550 [0.480, 0.620] of the same pairs, a "
        "difference of +0.020 [−0.050, 0.090].",
    )


def test_a_reward_that_read_no_labeled_pair_is_not_spoken_of() -> None:
    assert build_reward_warnings("x", Metric(value=None, low=None, high=None, n=0), LONGER, NO_LEAD) == ()


def test_a_proxy_tested_on_one_prompt_has_a_note_without_an_interval() -> None:
    alone = Metric(value=1.0, low=None, high=None, n=3)
    info = RewardInfo(
        name="own", kind="trained_reward", metric="gold_reward", is_proxy=True, agreement=alone, length_baseline=alone
    )
    assert "It agrees with people on 1.000 of the 3 test pairs that they labeled, where" in format_proxy_note(info)


def test_a_proxy_that_has_not_read_the_test_pairs_yet_is_said_to_be_one() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0)
    info = RewardInfo(
        name="own",
        kind="trained_reward",
        metric="gold_reward",
        is_proxy=True,
        agreement=nothing,
        length_baseline=nothing,
    )
    assert format_proxy_note(info) == (
        "Gold reward own is a proxy: a reward model that the study trains on human pairs; how far it agrees with people is "
        "still to come."
    )
