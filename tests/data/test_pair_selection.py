"""Two of several responses are selected by a rule, and equal or empty responses never make a pair."""

from __future__ import annotations

import pytest

from trimtab.data.pair_selection import (
    compute_jaccard,
    find_distinct,
    select_best_worst,
    select_most_different,
    select_random,
)


def test_equal_and_empty_texts_are_dropped() -> None:
    assert find_distinct(["a", " a\n", "", "  ", "b", "a"]) == [0, 4]


def test_a_random_pair_depends_on_the_key_and_not_on_the_order() -> None:
    texts = [f"text {number}" for number in range(8)]
    selected = select_random(texts, "1")
    assert selected is not None
    backwards = select_random(texts[::-1], "1")
    assert backwards is not None
    assert {texts[index] for index in selected} == {texts[::-1][index] for index in backwards}
    assert len({frozenset(select_random(texts, str(key)) or ()) for key in range(40)}) > 10


def test_the_most_different_texts_share_the_fewest_words() -> None:
    texts = ["the cat sat", "the cat ran", "A dog sat", "the cat sat down"]
    # similarities of words: 0-1 2/4, 0-2 1/5, 0-3 3/4, 1-2 0/6, 1-3 2/5, 2-3 1/6
    assert set(select_most_different(texts, "0") or ()) == {1, 2}
    assert compute_jaccard({"the", "cat", "sat"}, {"a", "dog", "sat"}) == pytest.approx(1 / 5)
    assert compute_jaccard(set(), set()) == 1.0


def test_the_best_and_the_worst_are_selected_by_score() -> None:
    assert select_best_worst(["a", "b", "c"], [0.1, 0.9, -2.0]) == (1, 2)
    assert select_best_worst(["a", "b", "c"], [0.1, None, 0.3]) == (2, 0)
    assert select_best_worst(["a", "b"], [0.5, 0.5]) is None


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "a "], ["a", ""]])
def test_fewer_than_two_distinct_texts_give_no_pair(texts: list[str]) -> None:
    assert select_random(texts, "0") is None
    assert select_most_different(texts, "0") is None
    assert select_best_worst(texts, [1.0] * len(texts)) is None
