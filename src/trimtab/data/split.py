"""Splits pairs into labeled, unlabeled and test pairs, disjoint by prompt."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trimtab.core.component import Settings
from trimtab.data.subsample import order_by_hash
from trimtab.errors import DataError
from trimtab.storage.disk_sequence import select_values
from trimtab.storage.id_index import hash_ids
from trimtab.types import Pair, Prompt, text_hash

SPLIT_NAMES = ("labeled", "unlabeled", "test")


class SplitSettings(Settings):
    """How to split the pairs of one source. Fractions are of prompts, between 0 and 1 exclusive; limits are in pairs.

    `labeled` is the fraction of the prompts that are not in the test split. Increasing a fraction only adds prompts to its
    split: prompts that it already had stay.
    """

    labeled: float = Field(
        default=0.5,
        gt=0.0,
        lt=1.0,
        description="paper for TL;DR, not stated for HH-RLHF; fraction of the prompts outside the test split",
    )
    test: float = Field(
        default=0.1,
        gt=0.0,
        lt=1.0,
        description="our default: the paper's datasets have test sets; fraction of all prompts, unused if the data have a test "
        "source",
    )
    seed: int | None = Field(default=None, description="paper, 22: the study's seed, or 22 outside a study")
    max_labeled: int | None = Field(default=None, ge=1, description="paper, null: all pairs; at most this many")
    max_unlabeled: int | None = Field(default=None, ge=1, description="paper, null: all pairs; at most this many")
    max_test: int | None = Field(default=None, ge=1, description="paper, null: all pairs; at most this many")


def _effective_seed(settings: SplitSettings) -> int:
    return 22 if settings.seed is None else settings.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplits:
    """The three splits. Every labeled pair has a human label. Human labels of unlabeled pairs are used only for metrics."""

    labeled: Sequence[Pair]
    unlabeled: Sequence[Pair]
    test: Sequence[Pair]


def normalized_prompt_hash(prompt: Prompt) -> str:
    """Hash of the prompt without differences in case, width and white space. Prompts with equal hashes share a split."""
    parts = (part for turn in prompt for part in (turn.role, _normalize_text(turn.content)))
    return text_hash(*parts)


def _normalize_text(content: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", content).casefold().split())


def split_pairs(pairs: Sequence[Pair], settings: SplitSettings) -> DataSplits:
    """Splits one source's pairs at random. Each split is ordered by a hash, so the order of `pairs` does not matter.

    The split of a prompt depends on the seed and its own text only, not on other prompts. Raises `DataError` if a split is
    empty or a labeled pair has no human label.
    """
    ordered = order_by_hash((pair.id for pair in pairs), str(_effective_seed(settings)))
    split_numbers = _read_numbers(SPLIT_NAMES.index(_assign_split(pair.prompt, settings)) for pair in pairs)[ordered]
    labeled, unlabeled, test = (
        select_values(pairs, ordered[split_numbers == number][:limit])
        for number, limit in enumerate((settings.max_labeled, settings.max_unlabeled, settings.max_test))
    )
    splits = DataSplits(labeled=labeled, unlabeled=unlabeled, test=test)
    if not (labeled and unlabeled and test):
        n_prompts = len({normalized_prompt_hash(pair.prompt) for pair in pairs})
        _validate_nonempty(
            splits,
            f"{len(pairs)} pairs of {n_prompts} prompts with labeled: {settings.labeled}, test: {settings.test}",
            "use less extreme fractions for `labeled` and `test`, change `seed`, or provide more prompts",
        )
    _validate_labeled(splits, "provide the labeled and the unlabeled pairs as two sources")
    return splits


def _read_numbers(numbers: Iterable[int]) -> NDArray[np.int8]:
    """Numbers below 128 in one byte each."""
    return np.fromiter(numbers, dtype=np.int8)


def _hash_fractions(prompt: Prompt, settings: SplitSettings) -> tuple[float, float]:
    """Two independent numbers in [0, 1), the second to divide the prompts outside the test split.

    Changing the test fraction therefore moves no prompt between labeled and unlabeled.
    """
    digest = hashlib.sha256(f"{_effective_seed(settings)}:{normalized_prompt_hash(prompt)}".encode()).digest()
    for_test, for_labeled = (int.from_bytes(digest[start : start + 8], "big") / 2**64 for start in (0, 8))
    return for_test, for_labeled


def _assign_split(prompt: Prompt, settings: SplitSettings) -> str:
    for_test, for_labeled = _hash_fractions(prompt, settings)
    if for_test < settings.test:
        return "test"
    return "labeled" if for_labeled < settings.labeled else "unlabeled"


def build_splits(pairs: Mapping[str, Sequence[Pair]], settings: SplitSettings) -> DataSplits:
    """The splits of the pairs of one source (`all`), of two (`train` and `test`), or of one for each split.

    Raises `DataError` as `split_pairs`, `split_train_pairs` and `build_predefined_splits` do.
    """
    if "all" in pairs:
        return split_pairs(pairs["all"], settings)
    if "train" in pairs:
        return split_train_pairs(pairs["train"], pairs["test"], settings)
    return build_predefined_splits(**pairs)


def split_train_pairs(train: Sequence[Pair], test: Sequence[Pair], settings: SplitSettings) -> DataSplits:
    """Splits training pairs by prompt into labeled and unlabeled ones; the test pairs come from their own source.

    A prompt that `split_pairs` does not assign to the test split is in the same split here. The test pairs, and which of
    them `max_test` selects, do not depend on the seed. Raises `DataError` if a split is empty, a prompt is in both sources,
    or a labeled pair has no human label.
    """
    ordered = order_by_hash((pair.id for pair in train), str(_effective_seed(settings)))
    is_labeled = _read_numbers(_hash_fractions(pair.prompt, settings)[1] < settings.labeled for pair in train)[ordered]
    return build_predefined_splits(
        select_values(train, ordered[is_labeled == 1][: settings.max_labeled]),
        select_values(train, ordered[is_labeled == 0][: settings.max_unlabeled]),
        select_values(test, order_by_hash((pair.id for pair in test), "test")[: settings.max_test]),
    )


def build_predefined_splits(
    labeled: Sequence[Pair], unlabeled: Sequence[Pair] | None = None, test: Sequence[Pair] | None = None
) -> DataSplits:
    """Splits from separate sources, unchanged. None is a split that is not used.

    Raises `DataError` if a split is empty, two share a prompt, or a labeled pair has no human label.
    """
    provided = {
        name: pairs for name, pairs in zip(SPLIT_NAMES, (labeled, unlabeled, test), strict=True) if pairs is not None
    }
    splits = DataSplits(labeled=labeled, unlabeled=unlabeled or (), test=test or ())
    counts = ", ".join(f"{len(pairs)} {name}" for name, pairs in provided.items())
    _validate_nonempty(splits, f"{counts} pairs", "use a source that contains pairs", tuple(provided))
    _validate_labeled(
        splits, "for `labeled`, use a source with chosen and rejected responses, or with a label for each pair"
    )
    validate_disjoint(splits)
    return splits


def validate_disjoint(splits: DataSplits) -> None:
    """Raises `DataError` if a prompt, ignoring case and white space, occurs in two splits."""
    hashes = {name: _hash_prompts(getattr(splits, name)) for name in SPLIT_NAMES}
    for one, other in combinations(SPLIT_NAMES, 2):
        if not np.isin(hashes[one], hashes[other]).any():
            continue
        prompts = {name: _first_pair_by_prompt(getattr(splits, name)) for name in (one, other)}
        shared = [prompt for prompt in prompts[one] if prompt in prompts[other]]
        examples = ", ".join(_join_ids(prompts[one][prompt], prompts[other][prompt]) for prompt in shared[:3])
        raise DataError(
            f"{len(shared)} prompts occur in both {one!r} and {other!r}, for example in {examples}; remove their pairs from "
            "one of the two, or provide all pairs as one source and let `split` divide them"
        )


def _hash_prompts(pairs: Sequence[Pair]) -> NDArray[np.bytes_]:
    """A digest of each normalized prompt."""
    return hash_ids(normalized_prompt_hash(pair.prompt) for pair in pairs)


def _join_ids(one: str, other: str) -> str:
    """The ids of two pairs with the same prompt, which are equal if the texts of the responses are."""
    return f"the pair {one}" if one == other else f"the pairs {one} and {other}"


def _first_pair_by_prompt(pairs: Sequence[Pair]) -> dict[str, str]:
    """The id of the first pair of each normalized prompt."""
    return {normalized_prompt_hash(pair.prompt): pair.id for pair in reversed(pairs)}


def _validate_nonempty(splits: DataSplits, found: str, remedy: str, names: Sequence[str] = SPLIT_NAMES) -> None:
    empty = [name for name in names if not getattr(splits, name)]
    if empty:
        raise DataError(f"the split has no {' and no '.join(map(repr, empty))} pairs; found {found}; {remedy}")


def _validate_labeled(splits: DataSplits, remedy: str) -> None:
    unlabeled = [pair.id for pair in splits.labeled if pair.human is None]
    if unlabeled:
        raise DataError(
            f"{len(unlabeled)} of {len(splits.labeled)} 'labeled' pairs have no human label, for example "
            f"{', '.join(unlabeled[:3])}; {remedy}"
        )
