"""One rated response per row: each prompt gives its best and its worst response, or a failure."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.data.parsing.dataset_builder import build_dataset
from trimtab.data.parsing.rows import SourceRow
from trimtab.errors import DataError
from trimtab.types import Dataset, Pair, build_user_prompt

COLOR = [("Seven.", 0), ("Green.", 3), ("Blue.", 3), ("Nine.", 0)]
BIRD = [("A trout.", 1), ("A wren.", 2)]


def rows(prompt: str, *responses: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "response": text, "helpfulness": score, "verbosity": 2} for text, score in responses]


def parse(*cells: dict[str, Any], rating: str = "helpfulness") -> Dataset:
    return build_dataset(
        [SourceRow(location=f"p:{n}", cells=row) for n, row in enumerate(cells, 1)], "p", rating_column=rating
    )


def test_a_prompt_gives_its_first_best_and_first_worst_response() -> None:
    dataset = parse(*rows("Name a color.", *COLOR))
    assert dataset.pairs == (Pair.from_responses(build_user_prompt("Name a color."), "Green.", "Seven.", "first"),)
    assert dataset.failures == ()
    assert dataset.layout == "preference, text, explicit prompt, by 'helpfulness'"


def test_the_rows_of_a_prompt_need_not_be_adjacent() -> None:
    color, bird = rows("Name a color.", *COLOR), rows("Name a bird.", *BIRD)
    dataset = parse(color[0], bird[0], color[1], bird[1])
    assert dataset.pairs == (
        Pair.from_responses(build_user_prompt("Name a color."), "Green.", "Seven.", "first"),
        Pair.from_responses(build_user_prompt("Name a bird."), "A wren.", "A trout.", "first"),
    )


def test_ratings_as_text_are_compared_as_numbers() -> None:
    (pair,) = parse(*rows("Name a color.", ("Seven.", "9"), ("Blue.", "10"))).pairs
    assert pair == Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")


def test_a_rating_can_be_true_or_false() -> None:
    (pair,) = parse(*rows("Name a color.", ("Seven.", False), ("Blue.", True))).pairs
    assert pair == Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")


@pytest.mark.parametrize(
    ("responses", "reason"),
    [
        ([("Blue.", 3)], "the only response to its prompt; at least two are required"),
        ([("Blue.", 3), ("Green.", 3)], "all responses to the prompt have the same 'helpfulness'"),
        ([("Blue.", 3), ("Blue.", 1)], "'chosen' and 'rejected' are identical"),
        ([("Blue.", None)], "'helpfulness' is None; expected a number"),
        ([("Blue.", float("nan"))], "'helpfulness' is nan; expected a number"),
    ],
)
def test_a_prompt_without_a_pair_is_a_failure_with_a_reason(responses: list[tuple[str, Any]], reason: str) -> None:
    dataset = parse(*rows("Name a bird.", *BIRD), *rows("Name a color.", *responses))
    assert len(dataset.pairs) == 1
    assert [(failure.location, failure.reason) for failure in dataset.failures] == [("p:3", reason)]


def test_a_missing_rating_column_is_reported() -> None:
    with pytest.raises(DataError, match=r"column 'kindness' is missing from this row \(2 rows\)"):
        parse(*rows("Name a bird.", *BIRD), rating="kindness")
