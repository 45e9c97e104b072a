"""Writes rows with any columns as Parquet, JSON lines or CSV, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from trimtab.storage.atomic import atomic_write_stream
from trimtab.storage.row_groups import RowGroupWriter, iter_batches
from trimtab.storage.schemas import LABELS_METADATA

FileRow = dict[str, Any]
ReadRows = Callable[[], Iterable[FileRow]]
# The types of the values of a column of texts.
_TEXT_TYPES = {str, type(None)}


def write_rows(path: Path, read_rows: ReadRows, detail: str) -> None:
    """Writes the rows in the format of the suffix, and replaces the file when it is complete.

    Every row has the columns of all rows, in order of first appearance, except in JSON lines. `detail` is the column with
    JSON text, which is nested JSON there. `read_rows` can be called more than once.
    """
    if path.suffix == ".parquet":
        atomic_write_stream(path, lambda out: _write_parquet(out, read_rows))
    elif path.suffix == ".csv":
        atomic_write_stream(path, lambda out: _write_csv(out, read_rows))
    else:
        atomic_write_stream(
            path, lambda out: out.writelines(_encode(_format_json_line(row, detail)) for row in read_rows())
        )


def _encode(text: str) -> bytes:
    """UTF-8, with an escape such as `\\ud83d`, as in JSON, for what is not a character: half of one, or a byte of another
    encoding."""
    return text.encode(errors="backslashreplace")


def _format_json_line(row: FileRow, detail: str) -> str:
    """A row as JSON, with the detail of its label as nested JSON."""
    nested = {detail: json.loads(row[detail] or "{}")} if detail in row else {}
    return _to_json(row | nested) + "\n"


def _write_csv(out: BinaryIO, read_rows: ReadRows) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in read_rows() for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _to_text(value) for name, value in row.items()} for row in read_rows())
    text.detach()


def _to_text(value: Any) -> Any:
    """A list or an object as JSON text."""
    return _to_json(value) if isinstance(value, list | Mapping) else value


def _to_json(value: Any) -> str:
    """JSON, in which a number that JSON does not have is null, as in a file of any other format."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_replace_non_finite(value), ensure_ascii=False, default=str, allow_nan=False)


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_parquet(out: BinaryIO, read_rows: ReadRows) -> None:
    """Writes columns of the types that fit all rows. Starts again with wider ones if those of earlier rows do not fit."""
    schema = pa.schema([])
    while (wider := _try_schema(out, read_rows, schema)) is not None:
        schema = wider
        out.seek(0)
        out.truncate()


def _try_schema(out: BinaryIO, read_rows: ReadRows, schema: pa.Schema) -> pa.Schema | None:
    """Writes the rows with the schema, or with that of the first rows. Returns a wider one if a row does not fit."""
    batches = iter_batches(read_rows())
    table = _build_table(next(batches, []), schema)
    with RowGroupWriter(out, table.schema) as writer:
        writer.write(table)
        for rows in batches:
            table = _build_table(rows, table.schema)
            if table.schema != writer.schema:
                return table.schema
            writer.write(table)
    return None


def _build_table(rows: Sequence[FileRow], schema: pa.Schema) -> pa.Table:
    """The rows, with the types of the schema or wider ones, and new columns at the end."""
    types = {field.name: field.type for field in schema}
    names = dict.fromkeys(chain(types, *rows))
    columns = {name: _build_column([row.get(name) for row in rows], types.get(name, pa.null())) for name in names}
    return pa.table(columns).replace_schema_metadata(LABELS_METADATA)


def _build_column(values: list[Any], known: pa.DataType) -> pa.Array:
    """The values with the type that fits them and `known`; if there is none, lists and objects as JSON text."""
    try:
        if known == pa.string() and {type(value) for value in values} <= _TEXT_TYPES:
            return pa.array(values, known)
        column = None if known == pa.string() else pa.array(values)
        if column is not None and _is_writable(column.type):
            merged = _merge_types(known, column.type)
            return column if merged == column.type else pa.array(values, merged)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    texts = (_to_text(value) for value in values)
    return pa.array([None if text is None else _encode(str(text)).decode() for text in texts], pa.string())


def _merge_types(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Raises `ArrowException` if no type has the values of both."""
    schemas = [pa.schema([("", each)]) for each in (one, other)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _is_writable(data_type: pa.DataType) -> bool:
    """Whether Parquet has the type: it has no objects without keys."""
    if pa.types.is_struct(data_type) and data_type.num_fields == 0:
        return False
    return all(_is_writable(data_type.field(index).type) for index in range(data_type.num_fields))
