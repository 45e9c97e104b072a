"""The `exclude` source: the pairs of one source without the prompts of others."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component, SourceField
from trimtab.data.excluded_prompts import exclude_prompts
from trimtab.data.parsing.dataset_builder import sample_pairs, select_origins
from trimtab.sources._shared.nested_sources import combined_content_hash, load_source
from trimtab.types import Dataset


class Exclude(Component):
    """The pairs of `source` whose prompt does not occur in any source in `exclude_prompts_from`, ignoring case and white space.

    Makes the training and test rows of a dataset, which often share prompts, usable as the splits of a study. Excluded pairs
    count as failures. `limit` samples that many of the remaining pairs (>= 1) by `seed` and pair id.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"source", "exclude_prompts_from"})

    source: SourceField
    exclude_prompts_from: tuple[SourceField, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def load(self) -> Dataset:
        """The remaining pairs. Raises `DataError` if there are none."""
        others = (pair for source in self.exclude_prompts_from for pair in load_source(source).pairs)
        dataset = exclude_prompts(load_source(self.source), others, "an excluded source", "use another `source`")
        sample = sample_pairs(dataset.pairs, self.limit, self.seed)
        return replace(dataset, pairs=sample, origins=select_origins(dataset.origins, sample))

    def content_hash(self) -> str:
        """The settings and content hashes of all sources."""
        return combined_content_hash((self.source, *self.exclude_prompts_from))
