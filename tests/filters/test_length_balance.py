"""Balanced labels for the longer and the shorter response, at every size of the difference."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.errors import DataError
from trimtab.filters.length_balance import LengthBalance
from trimtab.types import Annotation, Pair, build_user_prompt

# id, characters of a, characters of b, p_a
ROWS = [
    ("p", 9, 8, 0.6),  # longer by 1
    ("q", 9, 8, 0.9),  # longer by 1, more confident
    ("r", 7, 9, 0.7),  # shorter by 2
    ("s", 5, 5, 0.9),  # equal
    ("t", 1, 31, 0.2),  # longer by 30
    ("u", 41, 1, 0.8),  # longer by 40
    ("v", 1, 51, 0.4),  # longer by 50
]


def made(rows: list[tuple[str, int, int, float]]) -> tuple[list[Annotation], AnnotatorInputs]:
    pairs = {key: Pair(id=key, prompt=build_user_prompt("?"), a="x" * a, b="y" * b) for key, a, b, _ in rows}
    return [Annotation(pair_id=key, p_a=p_a) for key, _, _, p_a in rows], AnnotatorInputs(pairs=pairs)


def kept(bins: int, rows: list[tuple[str, int, int, float]]) -> str:
    labels, inputs = made(rows)
    answers = LengthBalance(bins=bins).keep(labels, inputs)
    return "".join(each.pair_id for each, yes in zip(labels, answers, strict=True) if yes)


def test_the_majority_side_keeps_its_most_confident_labels_and_equal_lengths_stay() -> None:
    # one label for the shorter, so one for the longer: q, the most confident of p, q, t, u and v
    assert kept(1, ROWS) == "qrs"


def test_a_small_difference_is_not_balanced_by_a_large_one() -> None:
    # bins of p, q, r and t, u, v: the second has no label for the shorter response
    assert kept(2, [*ROWS[:4], ("t", 1, 31, 0.01), *ROWS[5:]]) == "qrs"
    # and if r differs by 60, u of its own bin balances it, not q, which is more confident
    assert kept(2, [*ROWS[:2], ("r", 1, 61, 0.7), *ROWS[3:]]) == "rsu"


def test_labels_with_equal_confidence_go_by_their_ids() -> None:
    assert kept(1, [("c", 2, 1, 0.9), ("a", 1, 2, 0.1), ("b", 1, 2, 0.9), ("d", 3, 2, 0.9)]) == "ab"


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_kept_labels_prefer_both_lengths_equally_often_however_biased_the_input(bins: int) -> None:
    draw = random.Random(4)
    rows = [
        (f"{n:03}", draw.randint(1, 400), draw.randint(1, 400), 0.5 + 0.4 * draw.choice((1, -1))) for n in range(300)
    ]
    biased = [(key, a, b, (0.9 if a > b else 0.1) if draw.random() < 0.6 else p_a) for key, a, b, p_a in rows]
    labels, inputs = made(biased)
    answers = LengthBalance(bins=bins).keep(labels, inputs)
    leads = {each.pair_id: inputs.pairs[each.pair_id].length_difference(each.choice) for each in labels if each.choice}
    answered = [(leads[each.pair_id], yes) for each, yes in zip(labels, answers, strict=True)]
    sides = Counter((each > 0, yes) for each, yes in answered if each)
    assert sides[True, True] == sides[False, True] > 30
    assert sides[True, False] > 100


def test_labels_that_all_prefer_the_longer_response_are_an_error_with_counts() -> None:
    labels, inputs = made([("a", 2, 1, 0.9), ("b", 1, 2, 0.1)])
    with pytest.raises(DataError, match="no labels kept: 2 labels prefer the longer response and 0 the shorter"):
        LengthBalance().keep(labels, inputs)
