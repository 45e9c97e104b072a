"""Tables of a stage, read from their files row group by row group."""

from __future__ import annotations

import threading
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.errors import StoreError
from trimtab.storage.disk_sequence import LazySequence
from trimtab.storage.id_index import IdIndex
from trimtab.storage.readers import translate_read_errors

T = TypeVar("T")


class StoredTable(Generic[T]):
    """The values of the rows of a Parquet file. Only the row group that was read last is in memory."""

    def __init__(self, path: Path, schema: pa.Schema, convert: Callable[[dict[str, Any]], T], remedy: str) -> None:
        """Raises `StoreError` if the file is damaged or lacks a column of `schema`."""
        self._path, self._schema, self._convert, self._remedy = path, schema, convert, remedy
        self._lock = threading.Lock()
        self._group_number, self._group = -1, list[T]()
        with translate_read_errors(path, remedy), pq.ParquetFile(path) as file:
            missing = [name for name in schema.names if name not in file.schema_arrow.names]
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        if missing:
            raise StoreError(f"{path} has no column {missing[0]!r}, so an earlier version wrote it; {remedy}")
        self._ends = np.cumsum(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, position: int) -> T:
        """Raises `StoreError` if the values of a row in the same row group are damaged."""
        number = int(np.searchsorted(self._ends, position, side="right"))
        with self._lock:
            if number != self._group_number:
                self._group_number, self._group = -1, []  # frees the memory before the next group is read
                self._group = self._convert_group(number)
                self._group_number = number
            return self._group[position - (int(self._ends[number - 1]) if number else 0)]

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._ends)):
            yield from self._convert_group(number)

    def iter_column(self, name: str) -> Iterator[Any]:
        for number in range(len(self._ends)):
            yield from (row[name] for row in self._read_group(number, [name]))

    def as_sequence(self) -> LazySequence[T]:
        return LazySequence(self.read, np.arange(len(self), dtype=np.int64))

    def _convert_group(self, number: int) -> list[T]:
        rows = self._read_group(number, self._schema.names)
        with translate_read_errors(self._path, self._remedy):
            return list(map(self._convert, rows))

    def _read_group(self, number: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        # in this thread: a process that exits while a thread of pyarrow ends is aborted (apache/arrow#34314)
        with translate_read_errors(self._path, self._remedy), pq.ParquetFile(self._path) as file:
            group = file.read_row_group(number, columns=list(columns), use_threads=False)
            for batch in group.to_batches(max_chunksize=1024):
                yield from batch.to_pylist()


class ValuesById(Mapping[str, T]):
    """The values of a table by the id in one of its columns, in the order of the rows."""

    def __init__(self, table: StoredTable[T], column: str) -> None:
        self._table, self._column = table, column
        self._positions = IdIndex(table.iter_column(column))

    def items(self) -> ItemsView[str, T]:
        return _StoredItems(self)

    def values(self) -> ValuesView[T]:
        return _StoredValues(self)

    def iter_values(self) -> Iterator[T]:
        """The values in order, without looking each of them up by its id."""
        return iter(self._table)

    def __getitem__(self, key: str) -> T:
        return self._table.read(self._positions.get(key))

    def __iter__(self) -> Iterator[str]:
        return self._table.iter_column(self._column)

    def __len__(self) -> int:
        return len(self._table)


class _StoredItems(ItemsView[str, T]):
    _mapping: ValuesById[T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return zip(self._mapping, self._mapping.iter_values(), strict=True)


class _StoredValues(ValuesView[T]):
    _mapping: ValuesById[T]

    def __iter__(self) -> Iterator[T]:
        return self._mapping.iter_values()
