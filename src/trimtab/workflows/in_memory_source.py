"""A source of pairs that are already in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.core.component import Component
from trimtab.types import Dataset, Pair, text_hash


class InMemoryPairs(Component):
    """Pairs in memory. They enter a fingerprint by a hash of their ids and human labels."""

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"pairs"})

    pairs: tuple[Pair, ...]

    @classmethod
    def from_pairs(cls, pairs: Sequence[Pair]) -> InMemoryPairs:
        """Removes duplicates by pair id; the first pair of each id is kept."""
        unique: dict[str, Pair] = {}
        for pair in pairs:
            unique.setdefault(pair.id, pair)
        return cls(pairs=tuple(unique.values()))

    def load(self) -> Dataset:
        return Dataset(pairs=self.pairs, layout="in memory")

    def content_hash(self) -> str:
        return text_hash(*(f"{pair.id}:{pair.human}" for pair in self.pairs))
