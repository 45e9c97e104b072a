"""Generates the items of all families. The prompts are fixed; the seed determines which two responses form the pair."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from trimtab.errors import DataError
from trimtab.starter.families import FAMILIES
from trimtab.starter.item import Checker, PromptDraft, StarterItem
from trimtab.starter.pair_sampling import build_items

GENERATOR_VERSION = "starter-1"

__all__ = ["FAMILIES", "GENERATOR_VERSION", "compute_gold_reward", "generate_items"]


@lru_cache(maxsize=4)
def generate_items(seed: int = 0) -> tuple[StarterItem, ...]:
    """All items, one per prompt, ordered by the hash of the prompt. The prompts do not depend on the seed."""
    drafts = _generate_drafts()
    items = [item for family in FAMILIES.values() for item in build_items(family, drafts[family.name], seed)]
    return tuple(sorted(items, key=lambda item: hashlib.sha256(item.prompt.encode()).digest()))


def compute_gold_reward(prompt: str, response: str) -> float:
    """The gold reward of any response, in [0, 1]. Raises `DataError` for a prompt outside the starter set."""
    checker = _checkers_by_prompt().get(prompt)
    if checker is None:
        raise DataError(f"the starter set has no prompt {prompt!r}; trimtab.starter.generate_items() lists its prompts")
    return checker(response)


@lru_cache(maxsize=1)
def _generate_drafts() -> dict[str, list[tuple[PromptDraft, tuple[float, ...]]]]:
    seen: set[str] = set()
    drafts: dict[str, list[tuple[PromptDraft, tuple[float, ...]]]] = {}
    for family in FAMILIES.values():
        drafts[family.name] = []
        for draft in family.generate_drafts():
            if draft.prompt not in seen:
                seen.add(draft.prompt)
                drafts[family.name].append((draft, tuple(draft.checker(text) for text in draft.responses)))
    return drafts


@lru_cache(maxsize=1)
def _checkers_by_prompt() -> dict[str, Checker]:
    return {draft.prompt: draft.checker for drafts in _generate_drafts().values() for draft, _ in drafts}
