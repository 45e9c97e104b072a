"""Two verdicts in both orders come to what the table says, worked by hand."""

from __future__ import annotations

from itertools import product

import pytest

from trimtab.judges._shared.position_swap import combine_verdicts
from trimtab.types import JudgeChoice, Outcome

TABLE: dict[tuple[JudgeChoice | None, JudgeChoice | None], Outcome] = {
    ("first", "first"): "tie",  # the place and not the answer was named
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


@pytest.mark.parametrize(("said", "outcome"), TABLE.items())
def test_two_verdicts_come_to_one_outcome(
    said: tuple[JudgeChoice | None, JudgeChoice | None], outcome: Outcome
) -> None:
    assert combine_verdicts(*said) == outcome


def test_the_released_code_takes_what_it_cannot_read_for_a_tie() -> None:
    assert combine_verdicts(None, None, failed_as_tie=True) == "tie"
    assert combine_verdicts(None, "second", failed_as_tie=True) == "win"
    assert combine_verdicts("second", None, failed_as_tie=True) == "loss"


def test_the_other_answer_has_the_opposite_outcome() -> None:
    opposite = {"win": "loss", "loss": "win", "tie": "tie", "failed": "failed"}
    said: tuple[JudgeChoice | None, ...] = ("first", "second", "tie", None)
    for there, back in product(said, said):
        assert combine_verdicts(back, there) == opposite[combine_verdicts(there, back)]
