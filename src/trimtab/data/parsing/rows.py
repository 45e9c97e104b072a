"""One unparsed row of a source, and the names of its columns in messages."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.types import FailureKind, RowFailure

Cells = Mapping[str, Any]
_PLAIN_NAME = re.compile(r"[\w.\-]{1,40}", re.ASCII)
MAX_SHOWN_COLUMNS = 20


@dataclass(slots=True, kw_only=True)  # not frozen, which would take several times as long for each row
class SourceRow:
    """One unparsed row. `location` is FILE:LINE, or FILE:row N for formats without lines.

    `file` is a path and `number` counts the rows of that file from 1; both are empty for rows from elsewhere.
    """

    location: str
    cells: Cells
    file: str = ""
    number: int = 0


def build_failure(row: SourceRow, reason: str, kind: FailureKind = "failed") -> RowFailure:
    return RowFailure(location=row.location, reason=sys.intern(reason), kind=kind, file=row.file, row=row.number)


class UnreadableValue:
    """The value of a cell that its file format could not convert."""


def format_columns(names: Iterable[str]) -> str:
    """Column names for a message. Names that may be data, as in a CSV file without a header, show only their length."""
    shown = [format_column(name) for name in names]
    rest = len(shown) - MAX_SHOWN_COLUMNS
    return ", ".join(shown[:MAX_SHOWN_COLUMNS]) + (f" and {rest} more" if rest > 0 else "") or "none"


def format_column(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f"(a name of {len(name)} characters)"


def is_missing(value: Any) -> bool:
    """Whether a cell has no value: null, or NaN, which tables of numbers and texts have in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_empty(value: Any) -> bool:
    """Whether a cell is empty: no value, blank text, or an empty list or object, also written as JSON text."""
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}", "null")
    return is_missing(value) or (isinstance(value, list | tuple | dict) and not value)
