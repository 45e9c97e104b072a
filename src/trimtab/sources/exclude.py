"""The pairs of one source whose prompts others do not have."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.parsing.dataset_builder import sample_pairs
from trimtab.data.split import normalized_prompt_hash
from trimtab.errors import DataError
from trimtab.sources._nested import SourceField, combined_content_hash, load_source
from trimtab.types import Dataset, RowFailure


class Exclude(Component):
    """The pairs of `of` whose prompt, case and white space aside, stands in none of the sources in `prompts_of`.

    So a dataset's own training and test rows, which often share prompts, can be the sides of a study. Pairs that are left
    out are counted as failures. `limit` takes a sample of that many of the rest (>= 1), drawn by `seed` and pair id.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"source", "exclude_prompts_from"})

    source: SourceField
    exclude_prompts_from: tuple[SourceField, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def load(self) -> Dataset:
        """The pairs that are left. Raises `DataError` where there are none."""
        found = load_source(self.source)
        taken = {
            normalized_prompt_hash(pair.prompt)
            for source in self.exclude_prompts_from
            for pair in load_source(source).pairs
        }
        left = [pair for pair in found.pairs if normalized_prompt_hash(pair.prompt) not in taken]
        if not left:
            raise DataError(
                f"none of {len(found.pairs)} pairs has a prompt that the other sources lack; give another source as `of`"
            )
        kept = {pair.id for pair in left}
        failures = [
            RowFailure(location=f"pair {pair.id}", reason="its prompt stands in another source")
            for pair in found.pairs
            if pair.id not in kept
        ]
        return Dataset(
            pairs=sample_pairs(left, self.limit, self.seed), failures=(*found.failures, *failures), layout=found.layout
        )

    def content_hash(self) -> str:
        """The settings and identities of all the sources."""
        return combined_content_hash((self.source, *self.exclude_prompts_from))
