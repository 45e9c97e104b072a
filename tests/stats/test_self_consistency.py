"""Vote consistency compared with values computed by hand."""

from __future__ import annotations

import random

import pytest

from trimtab.stats import expected_majority_of_coin_flips, vote_consistency
from trimtab.types import Choice


def votes(*counts: tuple[int, int]) -> dict[str, list[Choice | None]]:
    a: list[Choice | None] = ["a"]
    b: list[Choice | None] = ["b"]
    return {f"pair{index}": a * n_a + b * n_b for index, (n_a, n_b) in enumerate(counts)}


@pytest.mark.parametrize(
    ("k", "expected"), [(1, 1.0), (2, 0.75), (3, 0.75), (5, 0.6875), (10, 0.623046875), (20, 0.588099)]
)
def test_the_expected_majority_matches_values_computed_by_hand(k: int, expected: float) -> None:
    assert expected_majority_of_coin_flips(k) == pytest.approx(expected, abs=1e-6)


def test_random_votes_have_the_expected_majority_and_no_corrected_consistency() -> None:
    rng = random.Random(4)
    result = vote_consistency({str(i): [rng.choice(("a", "b")) for _ in range(10)] for i in range(4000)})
    assert result.chance_majority == pytest.approx(0.623046875)
    assert result.majority.value == pytest.approx(0.623, abs=0.005)
    assert result.agreement.value == pytest.approx(0.5, abs=0.005)
    assert result.chance_corrected.low is not None and result.chance_corrected.high is not None
    assert result.chance_corrected.low < 0 < result.chance_corrected.high < 0.02


def test_a_judge_that_always_repeats_itself_is_fully_consistent() -> None:
    result = vote_consistency(votes((10, 0), (0, 10), (10, 0)))
    assert (result.majority.value, result.chance_corrected.value, result.agreement.value) == (1.0, 1.0, 1.0)


def test_three_to_one_votes_match_the_value_computed_by_hand() -> None:
    # majority (0.75 + 0.5) / 2; chance 0.6875; (0.625 - 0.6875) / 0.3125; 3 of 6 and 2 of 6 pairs of votes agree
    result = vote_consistency(votes((3, 1), (2, 2)))
    assert result.majority.value == 0.625
    assert result.chance_corrected.value == pytest.approx(-0.2)
    assert result.agreement.value == pytest.approx(5 / 12)


def test_the_chance_majority_depends_on_the_number_of_votes_of_each_pair() -> None:
    # majorities 1 and 1/2 compared with 0.75 and 0.6875: (1.5 - 1.4375) / (2 - 1.4375)
    result = vote_consistency(votes((2, 0), (2, 2)))
    assert result.chance_majority == pytest.approx(0.71875)
    assert result.chance_corrected.value == pytest.approx(0.0625 / 0.5625)


def test_failed_votes_and_pairs_with_one_vote_are_ignored() -> None:
    result = vote_consistency({"x": ["a", None, "a"], "y": ["b", None], "z": []})
    assert (result.majority.value, result.majority.n, result.majority.n_failed) == (1.0, 1, 2)
    empty = vote_consistency({"y": ["b"]})
    assert (
        empty.majority.value,
        empty.chance_majority,
        empty.chance_corrected.value,
        empty.chance_corrected.n_failed,
    ) == (
        None,
        None,
        None,
        1,
    )


def test_pairs_of_one_prompt_do_not_narrow_the_interval() -> None:
    once = votes(*((index % 6, 5 - index % 6) for index in range(60)))
    repeated = {f"{key}.{copy}": pair_votes for key, pair_votes in once.items() for copy in range(3)}
    clustered = vote_consistency(repeated, clusters={key: key.partition(".")[0] for key in repeated})
    single = vote_consistency(once)
    assert (clustered.chance_corrected.low, clustered.chance_corrected.high) == pytest.approx(
        (single.chance_corrected.low, single.chance_corrected.high), abs=1e-9
    )
