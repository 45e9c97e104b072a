"""Reads the rows of JSON and JSON Lines files. A line that cannot be read is a failure."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from trimtab.data.parsing.rows import SourceRow, format_column, format_columns
from trimtab.data.parsing.text_lines import MAX_ROW_LENGTH, read_lines
from trimtab.errors import DataError
from trimtab.types import RowFailure

# Characters of a file that is one JSON array, which is held in memory.
MAX_ARRAY_LENGTH = 2**28
# Without the parser's message, which may quote the line's text.
INVALID_LINE = "invalid JSON; expected one object per line"
_ROW_COLUMNS = ({"chosen", "rejected"}, {"response_a", "response_b"}, {"response_1", "response_2"})


class _RepeatedKeyError(ValueError):
    """An object has the same key twice, so one of the two values would be lost."""


def _build_object(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(items)
    if len(built) != len(items):
        names = [name for name, _ in items]
        repeated = next(name for name in built if names.count(name) > 1)
        raise _RepeatedKeyError(f"the key {format_column(repeated)!r} occurs twice in one object")
    return built


# `json.loads` would create a decoder for each text.
_decode_json = json.JSONDecoder(object_pairs_hook=_build_object).decode


def parse_json(text: str) -> Any:
    """Parses JSON. Raises `ValueError` or `RecursionError`; an object that repeats a key is invalid."""
    return _decode_json(text)


def read_json_lines(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    """Yields one row per line. Raises `DataError` if the file is an array over several lines."""
    for number, line in enumerate(read_lines(stream), start=1):
        location = f"{file.name}:{number}"
        if line is None:
            yield RowFailure(location=location, reason=f"a line of more than {MAX_ROW_LENGTH:,} characters")
            continue
        if not line.strip():
            continue
        if number == 1 and line.strip() == "[":
            raise DataError(
                f"{file}: a JSON array over several lines, expected one object per line; rename it to .json"
            )
        try:
            value = parse_json(line)
        except _RepeatedKeyError as error:
            yield RowFailure(location=location, reason=str(error))
        except (ValueError, RecursionError):
            yield RowFailure(location=location, reason=INVALID_LINE)
        else:
            yield _to_row(location, value)


def read_json_array(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    """Yields the objects of an array, of the only array of an object, or of JSON Lines under the suffix .json."""
    text = stream.read(MAX_ARRAY_LENGTH + 1)
    if len(text) > MAX_ARRAY_LENGTH:
        raise DataError(
            f"{file}: more than {MAX_ARRAY_LENGTH:,} characters, and .json files are read into memory; convert it to JSON "
            "Lines (.jsonl), which have no limit"
        )
    if not text.strip():
        return
    try:
        value = parse_json(text)
    except _RepeatedKeyError as error:
        raise DataError(f"{file}: {error}") from None
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{") and getattr(error, "msg", "") == "Extra data":
            yield from read_json_lines(file, io.StringIO(text, newline=""))  # many tools use .json for JSON Lines
            return
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file}: invalid JSON{line}; expected an array of objects, or JSON lines") from None
    for number, item in enumerate(_find_array(file, value), start=1):
        yield _to_row(f"{file.name}:row {number}", item)


def _find_array(file: Path, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise DataError(f"{file}: found one value; expected an array of objects")
    if _is_row(value):
        return [value]
    lists = {key: item for key, item in value.items() if isinstance(item, list)}
    if len(lists) != 1:
        raise DataError(
            f"{file}: found an object with {len(lists)} lists ({format_columns(lists)}); expected an array of objects, or "
            "an object that contains one such array"
        )
    return next(iter(lists.values()))


def _is_row(value: dict[str, Any]) -> bool:
    """Whether an object is a single row, whose lists are messages, rather than a table of columns."""
    columns = next((names for names in _ROW_COLUMNS if names <= value.keys()), None)
    return columns is not None and not all(
        isinstance(item, list) and not any(isinstance(element, dict) for element in item)
        for item in (value[name] for name in columns)
    )


def _to_row(location: str, value: Any) -> SourceRow | RowFailure:
    if isinstance(value, dict):
        return SourceRow(location=location, cells=value)
    return RowFailure(location=location, reason=f"{type(value).__name__} found, expected an object with columns")
