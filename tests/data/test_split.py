"""Labeled, unlabeled and test never share a prompt, and a prompt's side is its own affair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from trimtab.data.split import (
    DataSplits,
    SplitSettings,
    build_predefined_splits,
    normalized_prompt_hash,
    split_pairs,
    validate_disjoint,
)
from trimtab.errors import DataError
from trimtab.sources.file import File
from trimtab.types import Message, Pair, build_user_prompt

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SIDES = ("labeled", "unlabeled", "test")


def pair(prompt: str, answer: str = "yes") -> Pair:
    return Pair.from_responses(build_user_prompt(prompt), answer, "no", "first")


PAIRS = [pair(f"Question {n}?", answer) for n in range(300) for answer in ("yes", "surely")]


def ids(pairs: Sequence[Pair]) -> set[str]:
    return {one.id for one in pairs}


def test_every_pair_stands_on_exactly_one_side() -> None:
    splits = split_pairs(PAIRS, SplitSettings())
    assert sorted(one.id for side in SIDES for one in getattr(splits, side)) == sorted(ids(PAIRS))


def test_the_shares_are_of_prompts() -> None:
    splits = split_pairs(PAIRS, SplitSettings(labeled=0.25, test=0.2))
    counts = {side: len({one.prompt_id for one in getattr(splits, side)}) for side in SIDES}
    # 300 prompts: 60 for the test, a quarter of the other 240; four standard errors of a binomial are 28 and 27.
    assert abs(counts["test"] - 60) < 28
    assert abs(counts["labeled"] - 60) < 27
    assert all(len(getattr(splits, side)) == 2 * counts[side] for side in SIDES)


def test_prompts_that_differ_in_case_and_space_never_part() -> None:
    twins = [pair(f"  QUESTION\n\t{n}?") for n in range(300)]
    splits = split_pairs(PAIRS + twins, SplitSettings())
    validate_disjoint(splits)
    assert all(len(getattr(splits, side)) % 3 == 0 for side in SIDES)


def test_a_role_and_a_word_tell_prompts_apart() -> None:
    asked = build_user_prompt("Hi there")
    assert normalized_prompt_hash(asked) == normalized_prompt_hash(build_user_prompt("hi  THERE "))
    assert normalized_prompt_hash(asked) != normalized_prompt_hash(build_user_prompt("Hithere"))
    assert normalized_prompt_hash(asked) != normalized_prompt_hash((Message(role="assistant", content="Hi there"),))


def test_the_side_of_a_prompt_does_not_depend_on_the_others_or_their_order() -> None:
    whole, half = split_pairs(PAIRS, SplitSettings()), split_pairs(PAIRS[:300][::-1], SplitSettings())
    for side in SIDES:
        assert ids(getattr(half, side)) == ids(getattr(whole, side)) & ids(PAIRS[:300])
    assert split_pairs(PAIRS[::-1], SplitSettings()) == whole


def test_another_seed_is_another_split() -> None:
    assert split_pairs(PAIRS, SplitSettings(seed=1)) != split_pairs(PAIRS, SplitSettings(seed=2))


def test_a_larger_test_share_moves_no_prompt_between_the_other_sides() -> None:
    small, large = split_pairs(PAIRS, SplitSettings(test=0.1)), split_pairs(PAIRS, SplitSettings(test=0.4))
    assert ids(small.test) < ids(large.test)
    assert ids(large.labeled) < ids(small.labeled)
    assert ids(large.unlabeled) < ids(small.unlabeled)


def test_a_cap_keeps_the_first_pairs_of_the_uncapped_side() -> None:
    whole = split_pairs(PAIRS, SplitSettings())
    capped = split_pairs(PAIRS, SplitSettings(max_labeled=7, max_unlabeled=5, max_test=3))
    assert capped == DataSplits(labeled=whole.labeled[:7], unlabeled=whole.unlabeled[:5], test=whole.test[:3])


def test_an_unlabeled_pair_keeps_the_label_it_has() -> None:
    assert all(one.human for one in split_pairs(PAIRS, SplitSettings()).unlabeled)


def test_an_empty_side_names_what_was_found_and_which_setting_to_change() -> None:
    with pytest.raises(DataError) as caught:
        split_pairs(PAIRS[:1], SplitSettings(labeled=0.5, test=0.25))
    message = str(caught.value)
    assert re.match(r"the split has no '\w+' and no '\w+' pairs; found 1 pairs of 1 prompts with labeled: 0.5", message)
    assert "bring the share of `labeled` or `test` nearer to the middle" in message


def test_a_labeled_pair_needs_a_human_label() -> None:
    bare = [replace(one, human=None) for one in PAIRS]
    n_labeled = len(split_pairs(PAIRS, SplitSettings()).labeled)
    with pytest.raises(DataError, match=f"{n_labeled} of {n_labeled} 'labeled' pairs have no human label, first "):
        split_pairs(bare, SplitSettings())


@pytest.mark.parametrize("setting", [{"labeled": 0.0}, {"labeled": 1.0}, {"test": 1.2}, {"max_test": 0}, {"held": 0.1}])
def test_a_share_or_cap_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate(setting)


def test_three_given_sides_stay_as_they_are() -> None:
    assert build_predefined_splits(PAIRS[:2], PAIRS[2:4], PAIRS[4:6]) == DataSplits(
        labeled=tuple(PAIRS[:2]), unlabeled=tuple(PAIRS[2:4]), test=tuple(PAIRS[4:6])
    )


def test_a_prompt_on_two_given_sides_is_refused_by_id_and_not_by_text() -> None:
    stray = pair("question  0?", "perhaps")
    with pytest.raises(DataError) as caught:
        build_predefined_splits(PAIRS[:4], PAIRS[4:8], [*PAIRS[8:10], stray])
    message = str(caught.value)
    assert message.startswith("1 prompts stand in both 'labeled' and 'test', first the pairs ")
    assert f"{PAIRS[0].id} and {stray.id}" in message
    assert "remove their pairs from one of the two" in message
    assert "uestion" not in message


def test_a_given_side_that_is_empty_or_bare_is_refused() -> None:
    with pytest.raises(DataError, match="no 'unlabeled' pairs; found 4 labeled, 0 unlabeled, 2 test pairs"):
        build_predefined_splits(PAIRS[:4], [], PAIRS[4:6])
    bare = [replace(PAIRS[0], human=None), PAIRS[1]]
    with pytest.raises(DataError, match=f"1 of 2 'labeled' pairs have no human label, first {PAIRS[0].id}; give as"):
        build_predefined_splits(bare, PAIRS[2:4], PAIRS[4:6])


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_the_real_sides_share_no_prompt(objective: str) -> None:
    paths = [SHARED / f"hh1t_{objective}_{side}.jsonl.gz" for side in ("gt", "w2s", "test")]
    if not all(path.exists() for path in paths):
        pytest.skip("the folder of real preference data is missing")
    splits = build_predefined_splits(*(File(path=str(path)).load().pairs for path in paths))
    assert min(len(splits.labeled), len(splits.unlabeled), len(splits.test)) > 3700
