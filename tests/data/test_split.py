"""Splits never share a prompt, and the split of a prompt does not depend on other prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from trimtab.data.split import (
    SPLIT_NAMES,
    DataSplits,
    SplitSettings,
    build_predefined_splits,
    normalized_prompt_hash,
    split_pairs,
    split_train_pairs,
    validate_disjoint,
)
from trimtab.errors import DataError
from trimtab.sources.file import File
from trimtab.types import Message, Pair, build_user_prompt

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def build_pair(prompt: str, response: str = "yes") -> Pair:
    return Pair.from_responses(build_user_prompt(prompt), response, "no", "first")


PAIRS = [build_pair(f"Question {n}?", response) for n in range(300) for response in ("yes", "surely")]


def ids(pairs: Sequence[Pair]) -> set[str]:
    return {pair.id for pair in pairs}


def test_every_pair_is_in_exactly_one_split() -> None:
    splits = split_pairs(PAIRS, SplitSettings())
    assert sorted(pair.id for name in SPLIT_NAMES for pair in getattr(splits, name)) == sorted(ids(PAIRS))


def test_fractions_are_of_prompts() -> None:
    splits = split_pairs(PAIRS, SplitSettings(labeled=0.25, test=0.2))
    counts = {name: len({pair.prompt_id for pair in getattr(splits, name)}) for name in SPLIT_NAMES}
    # 300 prompts: 60 for the test, a quarter of the other 240; four standard errors of a binomial are 28 and 27.
    assert abs(counts["test"] - 60) < 28
    assert abs(counts["labeled"] - 60) < 27
    assert all(len(getattr(splits, name)) == 2 * counts[name] for name in SPLIT_NAMES)


def test_prompts_that_differ_only_in_case_and_space_share_a_split() -> None:
    twins = [build_pair(f"  QUESTION\n\t{n}?") for n in range(300)]
    splits = split_pairs(PAIRS + twins, SplitSettings())
    validate_disjoint(splits)
    assert all(len(getattr(splits, name)) % 3 == 0 for name in SPLIT_NAMES)


def test_prompts_that_differ_in_role_or_words_are_different() -> None:
    prompt = build_user_prompt("Hi there")
    assert normalized_prompt_hash(prompt) == normalized_prompt_hash(build_user_prompt("hi  THERE "))
    assert normalized_prompt_hash(prompt) != normalized_prompt_hash(build_user_prompt("Hithere"))
    assert normalized_prompt_hash(prompt) != normalized_prompt_hash((Message(role="assistant", content="Hi there"),))


def test_the_split_of_a_prompt_does_not_depend_on_other_prompts_or_their_order() -> None:
    whole, half = split_pairs(PAIRS, SplitSettings()), split_pairs(PAIRS[:300][::-1], SplitSettings())
    for name in SPLIT_NAMES:
        assert ids(getattr(half, name)) == ids(getattr(whole, name)) & ids(PAIRS[:300])
    assert split_pairs(PAIRS[::-1], SplitSettings()) == whole


def test_another_seed_is_another_split() -> None:
    assert split_pairs(PAIRS, SplitSettings(seed=1)) != split_pairs(PAIRS, SplitSettings(seed=2))


def test_a_larger_test_fraction_moves_no_prompt_between_the_other_splits() -> None:
    small, large = split_pairs(PAIRS, SplitSettings(test=0.1)), split_pairs(PAIRS, SplitSettings(test=0.4))
    assert ids(small.test) < ids(large.test)
    assert ids(large.labeled) < ids(small.labeled)
    assert ids(large.unlabeled) < ids(small.unlabeled)


def test_a_limit_keeps_the_first_pairs_of_the_unlimited_split() -> None:
    whole = split_pairs(PAIRS, SplitSettings())
    limited = split_pairs(PAIRS, SplitSettings(max_labeled=7, max_unlabeled=5, max_test=3))
    assert limited == DataSplits(labeled=whole.labeled[:7], unlabeled=whole.unlabeled[:5], test=whole.test[:3])


def test_an_unlabeled_pair_keeps_the_label_it_has() -> None:
    assert all(pair.human for pair in split_pairs(PAIRS, SplitSettings()).unlabeled)


def test_an_empty_split_reports_counts_and_settings() -> None:
    with pytest.raises(DataError) as caught:
        split_pairs(PAIRS[:1], SplitSettings(labeled=0.5, test=0.25))
    message = str(caught.value)
    assert re.match(r"the split has no '\w+' and no '\w+' pairs; found 1 pairs of 1 prompts with labeled: 0.5", message)
    assert "use less extreme fractions for `labeled` and `test`" in message


def test_a_labeled_pair_needs_a_human_label() -> None:
    unlabeled = [replace(pair, human=None) for pair in PAIRS]
    n_labeled = len(split_pairs(PAIRS, SplitSettings()).labeled)
    with pytest.raises(
        DataError, match=f"{n_labeled} of {n_labeled} 'labeled' pairs have no human label, for example "
    ):
        split_pairs(unlabeled, SplitSettings())


@pytest.mark.parametrize("setting", [{"labeled": 0.0}, {"labeled": 1.0}, {"test": 1.2}, {"max_test": 0}, {"held": 0.1}])
def test_a_fraction_or_limit_out_of_range_is_rejected(setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate(setting)


def test_predefined_splits_are_unchanged() -> None:
    assert build_predefined_splits(PAIRS[:2], PAIRS[2:4], PAIRS[4:6]) == DataSplits(
        labeled=PAIRS[:2], unlabeled=PAIRS[2:4], test=PAIRS[4:6]
    )


def test_a_prompt_in_two_predefined_splits_is_rejected_by_id_without_its_text() -> None:
    overlapping = build_pair("question  0?", "perhaps")
    with pytest.raises(DataError) as caught:
        build_predefined_splits(PAIRS[:4], PAIRS[4:8], [*PAIRS[8:10], overlapping])
    message = str(caught.value)
    assert message.startswith("1 prompts occur in both 'labeled' and 'test', for example in the pairs ")
    assert f"{PAIRS[0].id} and {overlapping.id}" in message
    assert "remove their pairs from one of the two" in message
    assert "uestion" not in message


def test_a_pair_in_two_predefined_splits_is_named_once() -> None:
    with pytest.raises(DataError) as caught:
        build_predefined_splits(PAIRS[:4], PAIRS[4:8], [*PAIRS[8:10], PAIRS[0]])
    assert f"for example in the pair {PAIRS[0].id}; remove" in str(caught.value)
    assert str(caught.value).count(PAIRS[0].id) == 1


def test_an_empty_or_unlabeled_predefined_split_is_rejected() -> None:
    with pytest.raises(DataError, match="no 'unlabeled' pairs; found 4 labeled, 0 unlabeled, 2 test pairs"):
        build_predefined_splits(PAIRS[:4], [], PAIRS[4:6])
    unlabeled = [replace(PAIRS[0], human=None), PAIRS[1]]
    with pytest.raises(
        DataError, match=f"1 of 2 'labeled' pairs have no human label, for example {PAIRS[0].id}; for `labeled`"
    ):
        build_predefined_splits(unlabeled, PAIRS[2:4], PAIRS[4:6])


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_the_splits_of_real_data_share_no_prompt(objective: str) -> None:
    paths = [SHARED / f"hh1t_{objective}_{name}.jsonl.gz" for name in ("gt", "w2s", "test")]
    if not all(path.exists() for path in paths):
        pytest.skip("the folder of real preference data is missing")
    splits = build_predefined_splits(*(File(path=str(path)).load().pairs for path in paths))
    assert min(len(splits.labeled), len(splits.unlabeled), len(splits.test)) > 3700


# The shape of TL;DR: 9,000 pairs of 1,500 prompts.
COMPARISONS = [build_pair(f"Post {n}", f"Summary {m}") for n in range(1500) for m in range(6)]
TEST_PAIRS = [build_pair(f"Test post {n}") for n in range(40)]


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 4500), (0.0625, 562)])
def test_training_pairs_are_divided_by_prompt_and_no_pair_is_lost(fraction: float, expected: int) -> None:
    splits = split_train_pairs(COMPARISONS, TEST_PAIRS, SplitSettings(labeled=fraction))
    # four standard errors of a binomial over 1,500 prompts with 6 pairs each
    assert abs(len(splits.labeled) - expected) < 4 * 6 * (1500 * fraction * (1 - fraction)) ** 0.5
    assert ids([*splits.labeled, *splits.unlabeled]) == ids(COMPARISONS)
    assert ids(splits.test) == ids(TEST_PAIRS)
    validate_disjoint(splits)


def test_the_seed_moves_training_pairs_and_no_test_pairs() -> None:
    one, other = (
        split_train_pairs(COMPARISONS, TEST_PAIRS, SplitSettings(seed=seed, max_labeled=900, max_test=9))
        for seed in (1, 2)
    )
    assert one.test == other.test
    assert len(one.labeled) == len(other.labeled) == 900
    assert len(ids(one.labeled) & ids(other.labeled)) < 300
    assert (
        split_train_pairs(COMPARISONS[::-1], TEST_PAIRS[::-1], SplitSettings(seed=1, max_labeled=900, max_test=9))
        == one
    )


def test_a_prompt_outside_the_test_split_has_the_same_split_with_a_test_source() -> None:
    single, separate = split_pairs(PAIRS, SplitSettings()), split_train_pairs(PAIRS, TEST_PAIRS, SplitSettings())
    assert ids(single.labeled) <= ids(separate.labeled)
    assert ids(single.unlabeled) <= ids(separate.unlabeled)


def test_a_prompt_of_the_training_pairs_among_the_test_pairs_is_an_error() -> None:
    with pytest.raises(DataError, match="1 prompts occur in both"):
        split_train_pairs(COMPARISONS, [*TEST_PAIRS, build_pair("post 7", "other")], SplitSettings())
