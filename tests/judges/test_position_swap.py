"""The outcomes of all combinations of two verdicts, worked out by hand."""

from __future__ import annotations

from itertools import product

import pytest

from trimtab.judges._shared.position_swap import combine_verdicts, read_verdict
from trimtab.types import JudgeChoice, Outcome

TABLE: dict[tuple[JudgeChoice | None, JudgeChoice | None], Outcome] = {
    ("first", "first"): "tie",  # names the position, not the response
    ("second", "second"): "tie",
    ("first", "second"): "win",
    ("second", "first"): "loss",
    ("tie", "tie"): "tie",
    ("tie", "second"): "win",
    ("tie", "first"): "loss",
    ("first", "tie"): "win",
    ("second", "tie"): "loss",
    (None, "second"): "failed",
    ("first", None): "failed",
    (None, None): "failed",
}


@pytest.mark.parametrize(("choices", "outcome"), TABLE.items())
def test_two_verdicts_combine_to_one_outcome(
    choices: tuple[JudgeChoice | None, JudgeChoice | None], outcome: Outcome
) -> None:
    assert combine_verdicts(*choices) == outcome


def test_the_released_code_treats_unparsable_verdicts_as_ties() -> None:
    assert combine_verdicts(None, None, failed_as_tie=True) == "tie"
    assert combine_verdicts(None, "second", failed_as_tie=True) == "win"
    assert combine_verdicts("second", None, failed_as_tie=True) == "loss"


def test_a_single_verdict_decides_for_the_response_that_it_names() -> None:
    assert [read_verdict(choice, candidate_first=True) for choice in ("first", "second", "tie", None)] == [
        "win",
        "loss",
        "tie",
        "failed",
    ]
    assert [read_verdict(choice, candidate_first=False) for choice in ("first", "second", "tie", None)] == [
        "loss",
        "win",
        "tie",
        "failed",
    ]


def test_swapping_the_responses_inverts_the_outcome() -> None:
    opposite = {"win": "loss", "loss": "win", "tie": "tie", "failed": "failed"}
    choices: tuple[JudgeChoice | None, ...] = ("first", "second", "tie", None)
    for forward, backward in product(choices, choices):
        assert combine_verdicts(backward, forward) == opposite[combine_verdicts(forward, backward)]
