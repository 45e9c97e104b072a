"""Labeled, unlabeled, test: disjoint by prompt, each prompt's side drawn from its own text."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from pydantic import Field

from trimtab.core.component import Settings
from trimtab.errors import DataError
from trimtab.types import Pair, Prompt, text_hash


class SplitSettings(Settings):
    """How pairs of one source part into three. Shares are of prompts and exclusive of 0 and 1; caps are in pairs.

    `labeled` is the share of the prompts that are not in the test set. A share that grows only adds prompts to its
    side: no prompt that it held leaves.
    """

    labeled: float = Field(default=0.5, gt=0.0, lt=1.0, description="share of the prompts that are not in the test set")
    test: float = Field(default=0.1, gt=0.0, lt=1.0, description="share of all prompts")
    seed: int | None = Field(default=None, description="null: the study's; 22 outside a study, as in the paper")
    max_labeled: int | None = Field(default=None, ge=1, description="pairs; null: no cap")
    max_unlabeled: int | None = Field(default=None, ge=1, description="pairs; null: no cap")
    max_test: int | None = Field(default=None, ge=1, description="pairs; null: no cap")


def _effective_seed(settings: SplitSettings) -> int:
    return 22 if settings.seed is None else settings.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplits:
    """The three sides. Every labeled pair has a human label; that of an unlabeled pair serves for diagnosis alone."""

    labeled: tuple[Pair, ...]
    unlabeled: tuple[Pair, ...]
    test: tuple[Pair, ...]


def normalized_prompt_hash(prompt: Prompt) -> str:
    """The prompt with case, width and white space evened out: prompts that meet here never part over two sides."""
    parts = (part for turn in prompt for part in (turn.role, _normalize_text(turn.content)))
    return text_hash(*parts)


def _normalize_text(content: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", content).casefold().split())


def split_pairs(pairs: Sequence[Pair], settings: SplitSettings) -> DataSplits:
    """The sides of one source's pairs, each in the order of the seed's hash, so that the rows' order does not matter.

    A prompt's side depends on the seed and its own text, never on the other prompts. Raises `DataError` where a side is
    empty or a labeled pair has no human label.
    """
    ordered = sorted(pairs, key=lambda pair: text_hash(str(_effective_seed(settings)), pair.id))
    sides: dict[str, list[Pair]] = {"labeled": [], "unlabeled": [], "test": []}
    for pair in ordered:
        sides[_assign_split(pair.prompt, settings)].append(pair)
    splits = DataSplits(
        labeled=tuple(sides["labeled"][: settings.max_labeled]),
        unlabeled=tuple(sides["unlabeled"][: settings.max_unlabeled]),
        test=tuple(sides["test"][: settings.max_test]),
    )
    n_prompts = len({normalized_prompt_hash(pair.prompt) for pair in pairs})
    _validate_nonempty(
        splits,
        f"{len(pairs)} pairs of {n_prompts} prompts with labeled: {settings.labeled}, test: {settings.test}",
        "bring the share of `labeled` or `test` nearer to the middle, change `seed`, or give more prompts",
    )
    _validate_labeled(splits, "give the labeled and the unlabeled pairs as two sources")
    validate_disjoint(splits)
    return splits


def _assign_split(prompt: Prompt, settings: SplitSettings) -> str:
    # Two independent draws from one hash: to change the share of the test set moves no prompt between the other two.
    drawn = hashlib.sha256(f"{_effective_seed(settings)}:{normalized_prompt_hash(prompt)}".encode()).digest()
    for_test, for_labeled = (int.from_bytes(drawn[start : start + 8], "big") / 2**64 for start in (0, 8))
    if for_test < settings.test:
        return "test"
    return "labeled" if for_labeled < settings.labeled else "unlabeled"


def build_predefined_splits(
    labeled: Sequence[Pair], unlabeled: Sequence[Pair] | None = None, test: Sequence[Pair] | None = None
) -> DataSplits:
    """Sides from sources of their own, as they are; None is a side that is not asked for. Raises `DataError` where one is
    empty, they share a prompt, or a labeled pair has no human label."""
    sides = {"labeled": labeled, "unlabeled": unlabeled, "test": test}
    asked = {name: pairs for name, pairs in sides.items() if pairs is not None}
    splits = DataSplits(labeled=tuple(labeled), unlabeled=tuple(unlabeled or ()), test=tuple(test or ()))
    found = ", ".join(f"{len(pairs)} {name}" for name, pairs in asked.items())
    _validate_nonempty(splits, f"{found} pairs", "give it a source that holds pairs", tuple(asked))
    _validate_labeled(splits, "give as `labeled` a source with chosen and rejected, or with a label for each pair")
    validate_disjoint(splits)
    return splits


def validate_disjoint(splits: DataSplits) -> None:
    """Raises `DataError` where a prompt, its case and white space aside, stands on two sides."""
    sides = {name: _first_pair_by_prompt(getattr(splits, name)) for name in ("labeled", "unlabeled", "test")}
    for one, other in combinations(sides, 2):
        shared = [key for key in sides[one] if key in sides[other]]
        if shared:
            ids = ", ".join(f"{sides[one][key]} and {sides[other][key]}" for key in shared[:3])
            raise DataError(
                f"{len(shared)} prompts stand in both {one!r} and {other!r}, first the pairs {ids}; "
                f"remove their pairs from one of the two, or give all pairs as one source and let `split` part them"
            )


def _first_pair_by_prompt(pairs: Sequence[Pair]) -> dict[str, str]:
    """Normalized prompt → id of the first pair that asks it."""
    return {normalized_prompt_hash(pair.prompt): pair.id for pair in reversed(pairs)}


def _validate_nonempty(
    splits: DataSplits, found: str, remedy: str, sides: Sequence[str] = ("labeled", "unlabeled", "test")
) -> None:
    empty = [name for name in sides if not getattr(splits, name)]
    if empty:
        raise DataError(f"the split has no {' and no '.join(map(repr, empty))} pairs; found {found}; {remedy}")


def _validate_labeled(splits: DataSplits, remedy: str) -> None:
    bare = [pair.id for pair in splits.labeled if pair.human is None]
    if bare:
        raise DataError(
            f"{len(bare)} of {len(splits.labeled)} 'labeled' pairs have no human label, "
            f"first {', '.join(bare[:3])}; {remedy}"
        )
