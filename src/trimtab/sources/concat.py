"""The `concat` source: the pairs of several sources as one."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component, SourceField
from trimtab.data.parsing.dataset_builder import concat_datasets
from trimtab.sources._shared.nested_sources import combined_content_hash, load_source
from trimtab.types import Dataset


class Concat(Component):
    """The pairs of all `sources`, without duplicates. Opposite labels of a pair are failures, as within one source.

    `limit` samples that many of all pairs (>= 1) by `seed` and pair id.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"sources"})

    sources: tuple[SourceField, ...] = Field(min_length=2)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def load(self) -> Dataset:
        """The pairs, and the failures of every source. Raises `DataError` if a source has no pairs."""
        return concat_datasets([load_source(source) for source in self.sources], limit=self.limit, seed=self.seed)

    def content_hash(self) -> str:
        """The settings and content hashes of all sources."""
        return combined_content_hash(self.sources)
