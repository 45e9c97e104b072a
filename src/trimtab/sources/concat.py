"""The pairs of several sources as one."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.parsing.dataset_builder import concat_datasets
from trimtab.sources._nested import SourceField, combined_content_hash, load_source
from trimtab.types import Dataset


class Concat(Component):
    """All pairs of the sources in `of`, each pair once; opposite labels for a pair are failures, as within one source.

    `limit` takes a sample of that many pairs (>= 1) of them all, drawn by `seed` and pair id.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"sources"})

    sources: tuple[SourceField, ...] = Field(min_length=2)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def load(self) -> Dataset:
        """The pairs, with every source's failures. Raises `DataError` where one of them gives none."""
        return concat_datasets([load_source(source) for source in self.sources], limit=self.limit, seed=self.seed)

    def content_hash(self) -> str:
        """The settings and identities of all the sources."""
        return combined_content_hash(self.sources)
