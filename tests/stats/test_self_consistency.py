import random

import pytest

from trimtab.stats import expected_majority_of_coin_flips, vote_consistency
from trimtab.types import Choice


def votes(*counts: tuple[int, int]) -> dict[str, list[Choice | None]]:
    a: list[Choice | None] = ["a"]
    b: list[Choice | None] = ["b"]
    return {f"pair{place}": a * n_a + b * n_b for place, (n_a, n_b) in enumerate(counts)}


@pytest.mark.parametrize(
    ("k", "share"), [(1, 1.0), (2, 0.75), (3, 0.75), (5, 0.6875), (10, 0.623046875), (20, 0.588099)]
)
def test_the_majority_of_a_coin_is_worked_by_hand(k: int, share: float) -> None:
    assert expected_majority_of_coin_flips(k) == pytest.approx(share, abs=1e-6)


def test_a_coin_of_ten_votes_has_a_majority_of_0_623_and_is_no_better_than_a_coin() -> None:
    rng = random.Random(4)
    found = vote_consistency({str(i): [rng.choice(("a", "b")) for _ in range(10)] for i in range(4000)})
    assert found.chance_majority == pytest.approx(0.623046875)
    assert found.majority.value == pytest.approx(0.623, abs=0.005)
    assert found.agreement.value == pytest.approx(0.5, abs=0.005)
    assert found.chance_corrected.low is not None and found.chance_corrected.high is not None
    assert found.chance_corrected.low < 0 < found.chance_corrected.high < 0.02


def test_a_judge_that_repeats_itself_is_fully_consistent() -> None:
    found = vote_consistency(votes((10, 0), (0, 10), (10, 0)))
    assert (found.majority.value, found.chance_corrected.value, found.agreement.value) == (1.0, 1.0, 1.0)


def test_three_to_one_is_worked_by_hand() -> None:
    # Majority (0.75 + 0.5) / 2; a coin's 0.6875; (0.625 - 0.6875) / 0.3125; alike 3 of 6 and 2 of 6 pairs of votes.
    found = vote_consistency(votes((3, 1), (2, 2)))
    assert found.majority.value == 0.625
    assert found.chance_corrected.value == pytest.approx(-0.2)
    assert found.agreement.value == pytest.approx(5 / 12)


def test_pairs_with_different_numbers_of_votes_are_held_to_coins_of_their_own() -> None:
    # Majorities 1 and 1/2 against 0.75 and 0.6875: (1.5 - 1.4375) / (2 - 1.4375)
    found = vote_consistency(votes((2, 0), (2, 2)))
    assert found.chance_majority == pytest.approx(0.71875)
    assert found.chance_corrected.value == pytest.approx(0.0625 / 0.5625)


def test_votes_that_failed_do_not_count_and_a_pair_with_one_vote_says_nothing() -> None:
    found = vote_consistency({"x": ["a", None, "a"], "y": ["b", None], "z": []})
    assert (found.majority.value, found.majority.n, found.majority.n_failed) == (1.0, 1, 2)
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
    once = votes(*((place % 6, 5 - place % 6) for place in range(60)))
    thrice = {f"{key}.{time}": each for key, each in once.items() for time in range(3)}
    clustered = vote_consistency(thrice, clusters={key: key.partition(".")[0] for key in thrice})
    single = vote_consistency(once)
    assert (clustered.chance_corrected.low, clustered.chance_corrected.high) == pytest.approx(
        (single.chance_corrected.low, single.chance_corrected.high), abs=1e-9
    )
