"""From families to items: the prompts are always the same, the seed draws which responses stand side by side."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from trimtab.errors import DataError
from trimtab.starter.families import FAMILIES
from trimtab.starter.item import Check, Draft, Item
from trimtab.starter.pairing import paired

VERSION = "starter-1"

__all__ = ["FAMILIES", "VERSION", "gold", "items"]


@lru_cache(maxsize=4)
def items(seed: int = 0) -> tuple[Item, ...]:
    """Every item, one a prompt, shuffled by the hash of the prompt. The prompts do not depend on the seed."""
    made = [item for family in FAMILIES.values() for item in paired(family, _drafts()[family.name], seed)]
    return tuple(sorted(made, key=lambda item: hashlib.sha256(item.prompt.encode()).digest()))


def gold(prompt: str, response: str) -> float:
    """The gold reward of any response, in [0, 1]. Raises `DataError` for a prompt that is not of the starter set."""
    check = _checks().get(prompt)
    if check is None:
        raise DataError(f"the starter set has no prompt {prompt!r}; its prompts are those of trimtab.starter.items()")
    return check(response)


@lru_cache(maxsize=1)
def _drafts() -> dict[str, list[tuple[Draft, tuple[float, ...]]]]:
    seen: set[str] = set()
    made: dict[str, list[tuple[Draft, tuple[float, ...]]]] = {}
    for family in FAMILIES.values():
        made[family.name] = []
        for draft in family.drafts():
            if draft.prompt not in seen:
                seen.add(draft.prompt)
                made[family.name].append((draft, tuple(draft.check(text) for text in draft.responses)))
    return made


@lru_cache(maxsize=1)
def _checks() -> dict[str, Check]:
    return {draft.prompt: draft.check for drafts in _drafts().values() for draft, _ in drafts}
