"""Reads label files with one row per pair, as written by `trimtab annotate` and by runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from trimtab.data.parsing.files import find_files, read_rows
from trimtab.data.parsing.rows import SourceRow, format_columns
from trimtab.errors import DataError
from trimtab.types import Annotation, RowFailure, Status

REQUIRED_COLUMNS = ("id", "p_a", "status")
# What the columns of a label start with in files that also have the columns of the labeled rows.
LABEL_PREFIX = "trimtab_"
# The status of a row that could not be read as a pair.
UNUSABLE = "unusable"
STATUSES = get_args(Status)


def read_labels(path: str) -> dict[str, Annotation]:
    """The labels of a .parquet, .jsonl, .json or .csv file by pair id.

    Raises `DataError` with the location of a row that is not a label: programs write label files, so such a row means that
    the file is of another kind. Also raises it for a pair with two labels and for a file without labels.
    """
    labels: dict[str, Annotation] = {}
    for file in find_files(path):
        for row in read_rows(file):
            if isinstance(row, RowFailure):
                raise DataError(f"{row.location}: {row.reason}")
            cells, is_joined = _select_label_columns(row.cells)
            if is_joined and cells.get("status") == UNUSABLE:
                continue
            label = _parse_label(replace(row, cells=cells))
            if is_joined and labels.get(label.pair_id) == label:
                continue  # two equal rows
            if label.pair_id in labels:
                raise DataError(
                    f"{row.location}: pair {label.pair_id} is labeled twice; a label file has one row per pair"
                )
            labels[label.pair_id] = label
    if not labels:
        raise DataError(f"{path}: contains no labels")
    return labels


def _select_label_columns(cells: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The columns of the label, and whether they are next to the columns of the labeled row."""
    own = {name.removeprefix(LABEL_PREFIX): cells[name] for name in cells if name.startswith(LABEL_PREFIX)}
    return (own, True) if own else (cells, False)


def _parse_label(row: SourceRow) -> Annotation:
    missing = [name for name in REQUIRED_COLUMNS if name not in row.cells]
    if missing:
        raise DataError(
            f"{row.location}: not a label: no column {', '.join(missing)} (found: {format_columns(row.cells)}); label files "
            "are written by trimtab annotate, or are labels/ARM.parquet of a run"
        )
    status = row.cells["status"]
    if status not in STATUSES:
        raise DataError(f"{row.location}: status must be one of {', '.join(STATUSES)}, got {str(status)[:20]!r}")
    try:
        return Annotation(
            pair_id=str(row.cells["id"]),
            p_a=_parse_number(row.cells, "p_a"),
            margin=_parse_number(row.cells, "margin"),
            status=status,
            note=str(row.cells.get("note") or ""),
        )
    except ValueError as error:
        raise DataError(f"{row.location}: {error}") from error


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
    """Whether the text is the path of an existing file, rather than an arm of a run."""
    return Path(text).expanduser().is_file()
