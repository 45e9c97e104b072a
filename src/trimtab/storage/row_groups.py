"""Writes Parquet files from small tables, so that few rows are Python objects at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

T = TypeVar("T")
# Rows of a row group, and rows that are Python objects at the same time.
ROWS_PER_GROUP, ROWS_PER_BATCH = 8192, 1024


def iter_batches(rows: Iterable[T]) -> Iterator[list[T]]:
    """The rows in lists of `ROWS_PER_BATCH`."""
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_PER_BATCH)):
        yield batch


class RowGroupWriter:
    """Writes tables of one schema. The size of the row groups does not depend on that of the tables.

    The tables must have `ROWS_PER_BATCH` rows, except for the last one.
    """

    def __init__(self, place: Path | BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(place, schema)
        self.schema = schema
        self._tables: list[pa.Table] = []
        self._is_empty = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and (self._tables or self._is_empty):
            self._write_group()
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(map(len, self._tables)) >= ROWS_PER_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        group = pa.concat_tables([self.schema.empty_table(), *self._tables]).combine_chunks()
        self._tables, self._is_empty = [], False
        self._writer.write_table(group)
