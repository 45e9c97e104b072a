"""The starter set as a source of pairs, with human labels drawn from the gold reward."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Literal

from pydantic import Field, field_validator

from trimtab.components import Component, near
from trimtab.errors import StudyError
from trimtab.starter import FAMILIES, NOISE, VERSION, Item, items, p_first
from trimtab.types import Dataset, Pair, user


class Starter(Component):
    """Synthetic pairs that ship with Trimtab.

    A label is drawn with P(first preferred) = sigmoid((gold of the first - gold of the second) / `noise`), the draw
    seeded by `seed` and the pair's id; `noise` of 0 follows the gold reward. `seed` also draws which responses stand
    side by side and which prompts `limit` keeps. The prompts themselves are always the same.
    """

    objective: Literal["both", "helpful", "harmless"] = "both"
    families: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    noise: float = Field(default=NOISE, ge=0.0)
    seed: int = 0

    @field_validator("families")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FAMILIES:
                known = tuple(FAMILIES)
                raise StudyError(
                    f"no family {name!r} in the starter set (there are: {', '.join(known)}){near(name, known)}"
                )
        return names

    def load(self) -> Dataset:
        """The pairs in the order of their prompts' hashes. Raises `StudyError` where no family fits the objective."""
        wanted = [item for item in items(self.seed) if self._wants(item)]
        if not wanted:
            raise StudyError(f"families {list(self.families)}: none of them is {self.objective}")
        if self.limit is not None:
            wanted = sorted(wanted, key=lambda item: _order(self.seed, item))[: self.limit]
        pairs = tuple(self._labeled(item) for item in wanted)
        n_families = len({item.family for item in wanted})
        return Dataset(pairs=pairs, layout=f"starter set, synthetic, {len(pairs)} pairs of {n_families} families")

    def identity(self) -> str:
        return f"{VERSION}-{hashlib.sha256(VERSION.encode()).hexdigest()[:8]}"

    def _wants(self, item: Item) -> bool:
        return self.objective in ("both", item.objective) and (not self.families or item.family in self.families)

    def _labeled(self, item: Item) -> Pair:
        prompt = user(item.prompt)
        pair = Pair.of(prompt, item.better, item.worse)
        p_better = p_first(item.gold_better - item.gold_worse, self.noise)
        follows_gold = Random(f"{self.seed}:{pair.id}").random() < p_better
        return Pair.of(prompt, item.better, item.worse, "first" if follows_gold else "second")


def _order(seed: int, item: Item) -> bytes:
    return hashlib.sha256(f"{seed}:{item.prompt}".encode()).digest()
