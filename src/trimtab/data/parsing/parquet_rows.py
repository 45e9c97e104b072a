"""Reads the rows of Parquet files in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.data.parsing.rows import SourceRow, UnreadableValue, format_columns
from trimtab.errors import DataError

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 256


def read_parquet_rows(file: Path) -> Iterator[SourceRow]:
    """Yields the rows. Raises `DataError` if the file is damaged or two columns have the same name."""
    import pyarrow  # noqa: PLC0415 - used for parquet only
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            if len(set(names)) != len(names):
                raise DataError(f"{file}: two columns have the same name; columns found: {format_columns(names)}")
            for batch in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                columns = [_convert_column(column) for column in batch.columns]
                for index in range(batch.num_rows):
                    number += 1
                    cells = {name: values[index] for name, values in zip(names, columns, strict=True)}
                    yield SourceRow(location=f"{file.name}:row {number}", cells=cells)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a parquet file, or damaged ({type(error).__name__})") from error


def _convert_column(column: pyarrow.Array) -> list[Any]:
    """The values of a column. A value that cannot be converted, such as invalid UTF-8, affects only its own row."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, TypeError):
        return [_convert_value(column[index]) for index in range(len(column))]
    return values


def _convert_value(value: pyarrow.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError, TypeError):
        return UnreadableValue()
