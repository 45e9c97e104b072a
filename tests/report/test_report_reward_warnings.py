"""Warnings about gold rewards follow the intervals of their human agreement and of their gain over the length baseline."""

from __future__ import annotations

import pytest

from trimtab.report.collect.rewards import (
    RewardInfo,
    build_reward_warnings,
    compute_reward_correctness,
    format_proxy_note,
)
from trimtab.types import Choice, Message, Metric, Pair

GAIN = Metric(value=0.10, low=0.02, high=0.18, n=200)
NO_GAIN = Metric(value=0.02, low=-0.05, high=0.09, n=200)
LENGTH_BASELINE = Metric(value=0.55, low=0.48, high=0.62, n=200)


def pair(key: str, a: str, b: str, human: Choice | None) -> Pair:
    return Pair(id=key, prompt=(Message(role="user", content=key),), a=a, b=b, human=human)


def agreement(value: float, low: float | None, high: float | None) -> Metric:
    return Metric(value=value, low=low, high=high, n=200)


def test_ties_count_one_half_and_both_rules_use_the_same_pairs() -> None:
    test = [
        pair("right", "long", "no", "a"),
        pair("wrong", "yes", "longer", "b"),
        pair("tie", "same", "size", "a"),
        pair("tie of the reward alone", "long", "no", "b"),
        pair("no human", "long", "no", None),
        pair("no reward", "long", "no", "a"),
    ]
    margins = {"right": 0.5, "wrong": 2.0, "tie": 0.0, "tie of the reward alone": 0.0, "no human": 1.0}
    by_reward, by_length = compute_reward_correctness(test, margins)
    assert by_reward == {"right": 1.0, "wrong": 0.0, "tie": 0.5, "tie of the reward alone": 0.5}
    assert by_length == {"right": 1.0, "wrong": 1.0, "tie": 0.5, "tie of the reward alone": 0.0}


def test_a_reward_better_than_chance_and_length_has_no_warning() -> None:
    assert build_reward_warnings("x", agreement(0.65, 0.58, 0.72), LENGTH_BASELINE, GAIN) == ()


@pytest.mark.parametrize("low", [0.41, 0.5, None])
def test_a_reward_that_may_be_at_chance_has_a_warning(low: float | None) -> None:
    (warning,) = build_reward_warnings("x", agreement(0.52, low, None if low is None else 0.63), LENGTH_BASELINE, GAIN)
    prefix = "The human agreement of gold reward x is not significantly different from chance: 0.520"
    assert warning.startswith(prefix)
    assert warning.endswith("(n = 200 pairs, ties count one half).")


def test_a_reward_below_chance_contradicts_human_preferences() -> None:
    (warning,) = build_reward_warnings("x", agreement(0.40, 0.33, 0.47), LENGTH_BASELINE, NO_GAIN)
    prefix = "Gold reward x contradicts human preferences: it agrees with human labels on 0.400 [0.330, 0.470]"
    assert warning.startswith(prefix)


def test_a_reward_that_may_measure_length_has_a_warning() -> None:
    assert build_reward_warnings("x", agreement(0.57, 0.51, 0.64), LENGTH_BASELINE, NO_GAIN) == (
        "Gold reward x is not shown to measure more than length: its human agreement is 0.570 [0.510, 0.640] (n = 200 pairs, "
        "ties count one half), and that of the rule that the longer response is better 0.550 [0.480, 0.620] on the same pairs, "
        "a difference of +0.020 [−0.050, 0.090].",
    )


def test_a_reward_without_scored_pairs_has_no_warning() -> None:
    assert build_reward_warnings("x", Metric(value=None, low=None, high=None, n=0), LENGTH_BASELINE, NO_GAIN) == ()


def test_a_proxy_tested_on_one_prompt_has_a_note_without_an_interval() -> None:
    alone = Metric(value=1.0, low=None, high=None, n=3)
    info = RewardInfo(
        name="own",
        kind="study_reward_model",
        metric="gold_reward",
        is_proxy=True,
        agreement=alone,
        length_baseline=alone,
    )
    assert "It agrees with human labels on 1.000 of the 3 test pairs that have one; the longer" in format_proxy_note(
        info
    )


def test_a_proxy_that_is_not_trained_yet_has_a_note() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0)
    info = RewardInfo(
        name="own",
        kind="study_reward_model",
        metric="gold_reward",
        is_proxy=True,
        agreement=nothing,
        length_baseline=nothing,
    )
    assert format_proxy_note(info) == (
        "Gold reward own is a proxy: a reward model that the study trains on human labels; its human agreement is not measured "
        "yet."
    )
