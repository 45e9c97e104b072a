"""Labels in a file, a row a pair, as `trimtab annotate` and runs write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from trimtab.data.parsing.files import SourceRow, find_files, format_columns, read_rows
from trimtab.errors import DataError
from trimtab.types import Annotation, RowFailure, Status

REQUIRED_COLUMNS = ("id", "p_a", "status")
STATUSES = get_args(Status)


def read_labels(path: str) -> dict[str, Annotation]:
    """The labels of a .parquet, .jsonl, .json or .csv file by pair id.

    Raises `DataError` for a row that is no label, with its place: labels are made by programs, so one that cannot be read means
    another kind of file. A pair that is labeled twice, and a file without labels, are such errors too.
    """
    found: dict[str, Annotation] = {}
    for file in find_files(path):
        for row in read_rows(file):
            if isinstance(row, RowFailure):
                raise DataError(f"{row.location}: {row.reason}")
            label = _parse_label(row)
            if label.pair_id in found:
                raise DataError(
                    f"{row.where}: pair {label.pair_id} is labeled twice; a file of labels has one row a pair"
                )
            found[label.pair_id] = label
    if not found:
        raise DataError(f"{path}: holds no labels")
    return found


def _parse_label(row: SourceRow) -> Annotation:
    missing = [name for name in REQUIRED_COLUMNS if name not in row.cells]
    if missing:
        raise DataError(
            f"{row.where}: not a label: no column {', '.join(missing)} (found: {format_columns(row.cells)}); files of labels "
            "are those that trimtab annotate writes, or labels/ARM.parquet of a run"
        )
    status = row.cells["status"]
    if status not in STATUSES:
        raise DataError(f"{row.where}: status must be one of {', '.join(STATUSES)}, got {str(status)[:20]!r}")
    try:
        return Annotation(
            pair_id=str(row.cells["id"]),
            p_a=_parse_number(row.cells, "p_a"),
            margin=_parse_number(row.cells, "margin"),
            status=status,
            note=str(row.cells.get("note") or ""),
        )
    except ValueError as error:
        raise DataError(f"{row.where}: {error}") from error


def _parse_number(cells: Mapping[str, Any], name: str) -> float | None:
    value = cells.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {str(value)[:20]!r}")
    return number


def is_label_file(text: str) -> bool:
    """Whether the text names a file that is there, and not an arm of a run."""
    return Path(text).expanduser().is_file()
