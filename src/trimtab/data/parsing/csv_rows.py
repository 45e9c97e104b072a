"""Reads the rows of comma-, semicolon- and tab-separated files. A damaged row does not take its neighbors with it."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from trimtab.data.parsing.rows import SourceRow, format_columns
from trimtab.data.parsing.text_lines import MAX_ROW_LENGTH, read_lines
from trimtab.errors import DataError
from trimtab.types import RowFailure

DELIMITERS = (",", ";", "\t")
TOO_LONG = f"a row of more than {MAX_ROW_LENGTH:,} characters"
BROKEN_QUOTES = "invalid CSV: unbalanced quotes"


class _Lines:
    """Physical lines with their numbers. The lines of the current record can be returned, to be read again."""

    def __init__(self, stream: TextIO) -> None:
        self._numbered = enumerate(read_lines(stream), start=1)
        self._returned: deque[tuple[int, str | None]] = deque()
        self.record: list[tuple[int, str | None]] = []
        self._length = 0

    def start_record(self) -> None:
        self.record, self._length = [], 0

    def return_lines(self, start: int) -> None:
        """Returns the lines of the record from index `start` on."""
        self._returned.extendleft(reversed(self.record[start:]))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = self._returned.popleft() if self._returned else next(self._numbered)
        self.record.append((number, line))
        self._length += MAX_ROW_LENGTH if line is None else len(line)
        if line is None or (len(self.record) > 1 and self._length > MAX_ROW_LENGTH):
            raise StopIteration
        return line


def read_csv_rows(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    """Yields one row per record below the header. Column names are stripped.

    A record whose quotes do not close fails at its first line, and reading continues with the second. Raises `DataError` if
    the header cannot be read or two columns have the same name.
    """
    lines = _Lines(stream)
    header: list[str] | None = None
    options: dict[str, Any] = {}
    while True:
        if header is None:
            options = _detect_format(lines)
        lines.start_record()
        cells = _read_record(lines, options)
        if not lines.record:
            return
        location = f"{file.name}:{lines.record[0][0]}"
        if not cells:
            continue
        if header is None:
            header = _parse_header(file, cells)
        elif isinstance(cells, str):
            lines.return_lines(1)
            yield RowFailure(location=location, reason=cells)
        elif len(cells) == len(header):
            yield SourceRow(location=location, cells=dict(zip(header, cells, strict=True)))
        elif _contains_rows(lines.record, options, len(header)):
            lines.return_lines(1)
            yield RowFailure(location=location, reason=BROKEN_QUOTES)
        else:
            yield RowFailure(location=location, reason=f"{len(cells)} columns, but the header has {len(header)}")


def _read_record(lines: _Lines, options: dict[str, Any]) -> list[str] | str:
    """The cells of the next record, or the reason why it cannot be read. Empty for a blank line and at the end."""
    limit = csv.field_size_limit(MAX_ROW_LENGTH)  # global in the `csv` module, so it is restored at once
    try:
        cells = next(csv.reader(lines, **options), None)
    except csv.Error:
        return BROKEN_QUOTES
    finally:
        csv.field_size_limit(limit)
    if cells is None:
        return TOO_LONG if lines.record else []
    return cells


def _detect_format(lines: _Lines) -> dict[str, Any]:
    """The delimiter that divides the header into most columns, and whether spaces follow it.

    A first line `sep=;`, in which spreadsheets state the delimiter, is skipped.
    """
    lines.start_record()
    line = next(lines, "")
    if re.fullmatch(r'"?sep=[,;\t]"?', line.strip("\r\n"), re.IGNORECASE):
        lines.start_record()
        line = next(lines, "")
    lines.return_lines(0)
    columns = {delimiter: line.split(delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(columns[each]))
    is_spaced = len(columns[delimiter]) > 1 and all(name.startswith(" ") for name in columns[delimiter][1:])
    return {"delimiter": delimiter, "skipinitialspace": is_spaced, "strict": True}


def _parse_header(file: Path, cells: list[str] | str) -> list[str]:
    if isinstance(cells, str):
        raise DataError(
            f"{file}: the header cannot be read: {cells}; expected the names of the columns in the first row"
        )
    header = [name.strip() for name in cells]
    if len(set(header)) != len(header):
        raise DataError(f"{file}: two columns have the same name; columns found: {format_columns(header)}")
    return header


def _contains_rows(record: list[tuple[int, str | None]], options: dict[str, Any], width: int) -> bool:
    """Whether most lines inside the record are rows by themselves, so that the quote before them was never closed."""
    inner = [line for _, line in record[1:-1] if line is not None]
    return bool(inner) and 2 * sum(_count_cells(line, options) == width for line in inner) > len(inner)


def _count_cells(line: str, options: dict[str, Any]) -> int:
    try:
        return len(next(csv.reader([line], **options), []))
    except csv.Error:
        return 0
