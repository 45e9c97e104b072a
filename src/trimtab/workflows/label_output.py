"""Writes rows of labels as Parquet, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.data.parsing.label_files import LABEL_PREFIX
from trimtab.errors import StudyError
from trimtab.storage.atomic import atomic_write_bytes
from trimtab.storage.schemas import LABELS_METADATA
from trimtab.workflows.label_rows import LabeledFile, LabelRow
from trimtab.workflows.output_files import prepare_folder

SUFFIXES: dict[str, tuple[str, ...]] = {
    "rows": (".parquet", ".jsonl", ".csv"),
    "trl": (".jsonl", ".parquet"),
    "ids": (".parquet", ".jsonl", ".csv"),
}
# The column with the detail of a label.
DETAIL_COLUMNS: dict[str, str] = {"rows": f"{LABEL_PREFIX}detail", "trl": "", "ids": "detail"}


def prepare_output(
    output: Path, pairs: str, label_format: str, training_pairs: str | None = None
) -> Callable[[LabeledFile], None]:
    """Creates the folder, and returns a function that writes labels.

    Raises `StudyError` if the format, the suffix or the path cannot be used, or if the file is one of those that are read.
    """
    if label_format not in SUFFIXES:
        raise StudyError(f"--format: must be one of {', '.join(SUFFIXES)}, got {label_format!r}")
    suffixes = SUFFIXES[label_format]
    if output.suffix not in suffixes:
        raise StudyError(
            f"--out {output}: the suffix must be one of {', '.join(suffixes)} for --format {label_format}, got "
            f"{output.suffix or 'none'}"
        )
    prepare_folder(output, {"of pairs": pairs, "of training pairs": training_pairs})

    def write(labeled: LabeledFile) -> None:
        rows = {"rows": labeled.iter_rows, "trl": labeled.iter_trl_rows, "ids": labeled.iter_id_rows}[label_format]()
        atomic_write_bytes(output, format_rows(list(rows), output.suffix, DETAIL_COLUMNS[label_format]))

    return write


def format_rows(rows: list[LabelRow], suffix: str, detail: str) -> bytes:
    """Every row has the columns of all rows, in order of first appearance, except in JSON lines."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".parquet":
        stream = io.BytesIO()
        pq.write_table(_build_table(rows, names), stream)
        return stream.getvalue()
    if suffix == ".csv":
        return _encode(_format_csv(rows, names))
    return _encode("".join(_format_json_line(row, detail) for row in rows))


def _encode(text: str) -> bytes:
    """UTF-8, with an escape such as `\\ud83d`, as in JSON, for what is not a character: half of one, or a byte of another
    encoding."""
    return text.encode(errors="backslashreplace")


def _format_json_line(row: LabelRow, detail: str) -> str:
    """A row as JSON, with the detail of its label as nested JSON."""
    nested = {detail: json.loads(row[detail] or "{}")} if detail in row else {}
    return _to_json(row | nested) + "\n"


def _format_csv(rows: list[LabelRow], names: list[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _to_text(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


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


def _build_table(rows: list[LabelRow], names: list[str]) -> pa.Table:
    columns = {name: [row.get(name) for row in rows] for name in names}
    table = pa.table({name: _build_column(values) for name, values in columns.items()})
    return table.replace_schema_metadata(LABELS_METADATA)


def _build_column(values: list[Any]) -> pa.Array:
    """The values with the type that fits them; if none does, lists and objects as JSON text."""
    try:
        column = pa.array(values)
        if _is_writable(column.type):
            return column
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    texts = (_to_text(value) for value in values)
    return pa.array([None if text is None else _encode(str(text)).decode() for text in texts], pa.string())


def _is_writable(data_type: pa.DataType) -> bool:
    """Whether Parquet has the type: it has no objects without keys."""
    if pa.types.is_struct(data_type) and data_type.num_fields == 0:
        return False
    return all(_is_writable(data_type.field(index).type) for index in range(data_type.num_fields))
