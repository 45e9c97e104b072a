"""The `starter` source: built-in synthetic pairs with human labels sampled from the gold reward."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Literal

from pydantic import Field, field_validator

from trimtab.core.component import Component
from trimtab.core.validation_errors import format_suggestion
from trimtab.errors import StudyError
from trimtab.starter import (
    FAMILIES,
    GENERATOR_VERSION,
    LABEL_NOISE,
    StarterItem,
    generate_items,
    preference_probability,
)
from trimtab.types import Dataset, Pair, build_user_prompt


class Starter(Component):
    """Built-in synthetic pairs.

    Labels are sampled with P(first preferred) = sigmoid((gold of the first - gold of the second) / `noise`), seeded by
    `seed` and the pair id; with `noise: 0` they follow the gold reward. `seed` also selects the responses of each pair and
    the prompts that `limit` keeps. The prompts themselves are always the same.
    """

    objective: Literal["both", "helpful", "harmless"] = "both"
    families: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    noise: float = Field(default=LABEL_NOISE, ge=0.0)
    seed: int = 0

    @field_validator("families")
    @classmethod
    def _validate_families(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FAMILIES:
                families = tuple(FAMILIES)
                raise StudyError(
                    f"no family {name!r} in the starter set (expected one of: {', '.join(families)})"
                    f"{format_suggestion(name, families)}"
                )
        return names

    def load(self) -> Dataset:
        """The pairs in the order of their prompts' hashes. Raises `StudyError` if no family has the objective."""
        selected = [item for item in generate_items(self.seed) if self._matches(item)]
        if not selected:
            raise StudyError(f"families {list(self.families)}: none of them has the objective {self.objective}")
        if self.limit is not None:
            selected = sorted(selected, key=lambda item: _sampling_key(self.seed, item))[: self.limit]
        pairs = tuple(self._to_labeled_pair(item) for item in selected)
        n_families = len({item.family for item in selected})
        return Dataset(pairs=pairs, layout=f"starter set, synthetic, {len(pairs)} pairs of {n_families} families")

    def content_hash(self) -> str:
        return f"{GENERATOR_VERSION}-{hashlib.sha256(GENERATOR_VERSION.encode()).hexdigest()[:8]}"

    def _matches(self, item: StarterItem) -> bool:
        return self.objective in ("both", item.objective) and (not self.families or item.family in self.families)

    def _to_labeled_pair(self, item: StarterItem) -> Pair:
        prompt = build_user_prompt(item.prompt)
        pair = Pair.from_responses(prompt, item.better, item.worse)
        p_better = preference_probability(item.gold_better - item.gold_worse, self.noise)
        follows_gold = Random(f"{self.seed}:{pair.id}").random() < p_better
        return Pair.from_responses(prompt, item.better, item.worse, "first" if follows_gold else "second")


def _sampling_key(seed: int, item: StarterItem) -> bytes:
    return hashlib.sha256(f"{seed}:{item.prompt}".encode()).digest()
