"""Two verdicts in both orders come to what the table says, worked by hand."""

from __future__ import annotations

from itertools import product

import pytest

from trimtab.evaluation._agreed import agreed
from trimtab.types import Named, Outcome

TABLE: dict[tuple[Named | None, Named | None], Outcome] = {
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
def test_two_verdicts_come_to_one_outcome(said: tuple[Named | None, Named | None], outcome: Outcome) -> None:
    assert agreed(*said) == outcome


def test_the_released_code_takes_what_it_cannot_read_for_a_tie() -> None:
    assert agreed(None, None, failed_as_tie=True) == "tie"
    assert agreed(None, "second", failed_as_tie=True) == "win"
    assert agreed("second", None, failed_as_tie=True) == "loss"


def test_the_other_answer_has_the_opposite_outcome() -> None:
    opposite = {"win": "loss", "loss": "win", "tie": "tie", "failed": "failed"}
    said: tuple[Named | None, ...] = ("first", "second", "tie", None)
    for there, back in product(said, said):
        assert agreed(back, there) == opposite[agreed(there, back)]
