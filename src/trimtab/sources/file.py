"""Preference pairs from files: json, jsonl, csv and parquet."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.parsing.dataset_builder import PromptTurns, build_dataset
from trimtab.data.parsing.files import find_files, hash_files, read_rows
from trimtab.data.parsing.layouts import LayoutName
from trimtab.types import Dataset


class File(Component):
    """A file, a folder of files, or a glob pattern.

    `limit` takes a sample of that many pairs (>= 1), drawn by `seed` and pair id, so that the order of the rows does
    not matter. `layout` says how to understand the columns where `auto` would take them for something else; `turns: last`
    leaves out all of a prompt but its last turn; `rating` names a column that rates the one response of each row.
    """

    VERSION: ClassVar[int] = 1
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    layout: LayoutName = "auto"
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    turns: PromptTurns = "all"
    rating_column: str | None = None

    def load(self) -> Dataset:
        """The pairs, with a failure for each row that gave none. Raises `DataError` where no row can be used."""
        rows = (row for file in find_files(self.path) for row in read_rows(file))
        return build_dataset(
            rows,
            self.path,
            layout=self.layout,
            turns=self.turns,
            rating_column=self.rating_column,
            limit=self.limit,
            seed=self.seed,
        )

    def content_hash(self) -> str:
        """SHA-256 of the files' bytes."""
        return hash_files(find_files(self.path))
