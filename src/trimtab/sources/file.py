"""The `file` source: preference pairs from json, jsonl, csv and parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.instructions import InstructionDataset
from trimtab.data.parsing.column_settings import ColumnNames, ColumnSettings, LabelValues
from trimtab.data.parsing.dataset_builder import PromptTurns, build_dataset
from trimtab.data.parsing.files import find_files, hash_files, read_rows
from trimtab.data.parsing.instruction_rows import build_instructions
from trimtab.data.parsing.prompt_rows import PromptDataset, build_prompts
from trimtab.data.parsing.row_columns import LayoutName
from trimtab.data.parsing.rows import SourceRow
from trimtab.types import Dataset, RowFailure


class File(Component):
    """A file, a folder of files, or a glob pattern.

    `limit` samples that many pairs (>= 1) by `seed` and pair id, independent of the order of the rows. `layout` overrides the
    layout that `auto` detects from the columns. `turns: last` keeps only the last turn of each prompt. `rating_column` names
    the column with the rating of each row's single response. If a file has other column names or labels, set `columns` and
    `label_values`.
    """

    VERSION: ClassVar[int] = 1
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    layout: LayoutName = "auto"
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    turns: PromptTurns = "all"
    rating_column: str | None = None
    columns: ColumnNames = Field(default_factory=dict)
    label_values: LabelValues = Field(default_factory=dict)

    def load(self) -> Dataset:
        """The pairs, and a failure for each unusable row. Raises `DataError` if no row is usable."""
        return build_dataset(
            self.read_rows(),
            self.path,
            layout=self.layout,
            turns=self.turns,
            rating_column=self.rating_column,
            columns=self.column_settings,
            limit=self.limit,
            seed=self.seed,
        )

    def load_instructions(self) -> InstructionDataset:
        """The rows as prompts with one response each, for `training.sft_data`."""
        return build_instructions(self.read_rows(), self.path, self.column_settings, limit=self.limit, seed=self.seed)

    def load_prompts(self) -> PromptDataset:
        """The distinct prompts of the rows, whose responses are ignored."""
        return build_prompts(self.read_rows(), self.path, self.column_settings, limit=self.limit, seed=self.seed)

    @property
    def column_settings(self) -> ColumnSettings:
        return ColumnSettings(names=self.columns, label_values=self.label_values)

    def read_rows(self) -> Iterator[SourceRow | RowFailure]:
        """The unparsed rows of all files, with the file and the number of each row."""
        for file in find_files(self.path):
            path = str(file)
            for number, row in enumerate(read_rows(file), start=1):
                if isinstance(row, SourceRow):
                    yield SourceRow(location=row.location, cells=row.cells, file=path, number=number)
                else:
                    yield replace(row, file=path, row=number)

    def content_hash(self) -> str:
        """SHA-256 of the files' bytes."""
        return hash_files(find_files(self.path))
