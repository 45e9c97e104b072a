"""Reads rows of json, jsonl, csv (each also gzipped) and parquet files. A row that cannot be read is a failure."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from trimtab.errors import DataError
from trimtab.types import RowFailure

SUPPORTED_FORMATS = ".jsonl, .json, .csv (each also with .gz), .parquet"
_SUPPORTED_SUFFIX = re.compile(r"\.(jsonl|json|csv)(\.gz)?$|\.parquet$", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[\w.\-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One unparsed row. `location` is FILE:LINE, or FILE:row N for formats without lines."""

    location: str
    cells: Mapping[str, Any]


def format_columns(names: Iterable[str]) -> str:
    """Column names for a message. Names that may be data, as in a CSV file without a header, show only their length."""
    shown = [name if _PLAIN_NAME.fullmatch(name) else f"(a name of {len(name)} characters)" for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "") or "none"


def find_files(path: str) -> tuple[Path, ...]:
    """The files of a path, folder or glob pattern, sorted by name. Raises `DataError` if there are none."""
    location = Path(path).expanduser()
    if location.is_dir():
        files_in_folder = sorted(
            file for file in location.iterdir() if file.is_file() and _SUPPORTED_SUFFIX.search(file.name)
        )
        if not files_in_folder:
            raise DataError(f"{path}: the folder contains no supported file; supported are {SUPPORTED_FORMATS}")
        return tuple(files_in_folder)
    if not location.exists() and glob.has_magic(path):
        files = tuple(sorted(Path(name) for name in glob.glob(str(location), recursive=True) if Path(name).is_file()))
    else:
        files = (location,) if location.exists() else ()
    if not files:
        raise DataError(f"{path}: no such file; relative paths start at {Path.cwd()}")
    for file in files:
        if not _SUPPORTED_SUFFIX.search(file.name):
            raise DataError(
                f"{file}: the suffix {file.suffix or '(none)'} is not supported; supported are {SUPPORTED_FORMATS}"
            )
    return files


def hash_files(files: Iterable[Path]) -> str:
    """SHA-256 of one file, or SHA-256 of the concatenated SHA-256 digests of several."""
    digests = []
    for file in files:
        try:
            with file.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            raise _read_error(file, error) from error
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_rows(file: Path) -> Iterator[SourceRow | RowFailure]:
    """Yields the rows of one file in order. Raises `DataError` if the file as a whole cannot be read."""
    if file.name.lower().endswith(".parquet"):
        yield from _read_parquet(file)
        return
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    read = {"jsonl": _read_jsonl, "json": _read_json, "csv": _read_csv}[suffix]
    try:
        with _open_text(file) as stream:
            yield from read(file, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise _read_error(file, error) from error


def _open_text(file: Path) -> TextIO:
    # Invalid UTF-8 becomes surrogates, so that only the cells that contain them are rejected.
    open_file = gzip.open if file.name.lower().endswith(".gz") else io.open
    return open_file(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_error(file: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return DataError(f"{file}: cannot read: {error.strerror or type(error).__name__}")
    return DataError(f"{file}: damaged or not gzip ({type(error).__name__}); copy it again or remove .gz from its name")


def _to_row(location: str, value: Any) -> SourceRow | RowFailure:
    if isinstance(value, dict):
        return SourceRow(location=location, cells=value)
    return RowFailure(location=location, reason=f"{type(value).__name__} found, expected an object with columns")


def _read_jsonl(file: Path, stream: Iterable[str]) -> Iterator[SourceRow | RowFailure]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        location = f"{file.name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            # Without the parser's message, which may quote the line's text.
            yield RowFailure(location=location, reason="invalid JSON; expected one object per line")
            continue
        yield _to_row(location, value)


def _read_json(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    text = stream.read()
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{") and getattr(error, "msg", "") == "Extra data":
            yield from _read_jsonl(file, io.StringIO(text))  # many tools use the suffix .json for JSON lines
            return
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file}: invalid JSON{line}; expected an array of objects, or JSON lines") from None
    for number, item in enumerate(_find_array(file, value), start=1):
        yield _to_row(f"{file.name}:row {number}", item)


def _find_array(file: Path, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = {key: item for key, item in value.items() if isinstance(item, list)} if isinstance(value, dict) else {}
    if len(lists) != 1:
        description = (
            f"an object with {len(lists)} lists ({format_columns(lists)})" if isinstance(value, dict) else "one value"
        )
        raise DataError(
            f"{file}: found {description}; expected an array of objects, or an object that contains one such array"
        )
    return next(iter(lists.values()))


def _read_csv(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    reader = csv.reader(stream, strict=True)
    header: list[str] | None = None
    while True:
        location = f"{file.name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield RowFailure(location=location, reason="invalid CSV: unbalanced quotes, or a field that is too large")
            continue
        if not cells:
            continue
        if header is None:
            header = cells
            if len(set(header)) != len(header):
                raise DataError(f"{file}: two columns have the same name; columns found: {format_columns(header)}")
        elif len(cells) != len(header):
            yield RowFailure(location=location, reason=f"{len(cells)} columns, but the header has {len(header)}")
        else:
            yield SourceRow(location=location, cells=dict(zip(header, cells, strict=True)))


def _read_parquet(file: Path) -> Iterator[SourceRow]:
    import pyarrow  # noqa: PLC0415 - used for parquet only
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for cells in batch.to_pylist():
                    number += 1
                    yield SourceRow(location=f"{file.name}:row {number}", cells=cells)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a parquet file, or damaged ({type(error).__name__})") from error
