"""Rows of a file: json, jsonl, csv (each also gzipped) and parquet. A row that cannot be read is a failure."""

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
    """One record as the source gave it; `where` is FILE:LINE, or FILE:row N where the format has no lines."""

    where: str
    cells: Mapping[str, Any]


def format_columns(names: Iterable[str]) -> str:
    """Column names for a message. Names that may be a row's own text (a CSV without header) show only their length."""
    shown = [name if _PLAIN_NAME.fullmatch(name) else f"(a name of {len(name)} characters)" for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "") or "none"


def find_files(path: str) -> tuple[Path, ...]:
    """The files that a path, a folder or a glob pattern names, by name. Raises `DataError` where there are none."""
    place = Path(path).expanduser()
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if file.is_file() and _SUPPORTED_SUFFIX.search(file.name))
        if not found:
            raise DataError(f"{path}: the folder holds no file that can be read; readable are {SUPPORTED_FORMATS}")
        return tuple(found)
    if not place.exists() and glob.has_magic(path):
        files = tuple(sorted(Path(name) for name in glob.glob(str(place), recursive=True) if Path(name).is_file()))
    else:
        files = (place,) if place.exists() else ()
    if not files:
        raise DataError(f"{path}: no such file; the path is taken from the folder {Path.cwd()}")
    for file in files:
        if not _SUPPORTED_SUFFIX.search(file.name):
            raise DataError(
                f"{file}: the suffix {file.suffix or '(none)'} is not known; readable are {SUPPORTED_FORMATS}"
            )
    return files


def hash_files(files: Iterable[Path]) -> str:
    """SHA-256 over the SHA-256 of each file's bytes; of one file, that file's own."""
    digests = []
    for file in files:
        try:
            with file.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            raise _read_error(file, error) from error
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_rows(file: Path) -> Iterator[SourceRow | RowFailure]:
    """The rows of one file in order, as a stream. Raises `DataError` where the file as a whole is damaged."""
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
    # Bytes that are not UTF-8 become surrogates, which only the cell that holds them is refused for.
    opened = gzip.open if file.name.lower().endswith(".gz") else io.open
    return opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_error(file: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return DataError(f"{file}: cannot be read: {error.strerror or type(error).__name__}")
    return DataError(
        f"{file}: is damaged or not gzip ({type(error).__name__}); copy it again, or drop .gz from its name"
    )


def _to_row(where: str, value: Any) -> SourceRow | RowFailure:
    if isinstance(value, dict):
        return SourceRow(where=where, cells=value)
    return RowFailure(location=where, reason=f"a {type(value).__name__} where an object with columns is needed")


def _read_jsonl(file: Path, stream: Iterable[str]) -> Iterator[SourceRow | RowFailure]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        where = f"{file.name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            # The parser's own message is left out: the line may hold what must not be repeated.
            yield RowFailure(location=where, reason="the line is not valid JSON; one whole object a line is needed")
            continue
        yield _to_row(where, value)


def _read_json(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    text = stream.read()
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{") and getattr(error, "msg", "") == "Extra data":
            yield from _read_jsonl(file, io.StringIO(text))  # many tools name JSON lines .json
            return
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file}: is not valid JSON{place}; an array of objects is needed, or JSON lines") from None
    for number, item in enumerate(_find_array(file, value), start=1):
        yield _to_row(f"{file.name}:row {number}", item)


def _find_array(file: Path, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = {key: item for key, item in value.items() if isinstance(item, list)} if isinstance(value, dict) else {}
    if len(lists) != 1:
        found = (
            f"an object with {len(lists)} lists ({format_columns(lists)})" if isinstance(value, dict) else "one value"
        )
        raise DataError(f"{file}: found {found}; needed is an array of objects, or an object that holds one such array")
    return next(iter(lists.values()))


def _read_csv(file: Path, stream: TextIO) -> Iterator[SourceRow | RowFailure]:
    reader = csv.reader(stream, strict=True)
    header: list[str] | None = None
    while True:
        where = f"{file.name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield RowFailure(
                location=where, reason="the line is not valid CSV: its quotes do not match, or a field is huge"
            )
            continue
        if not cells:
            continue
        if header is None:
            header = cells
            if len(set(header)) != len(header):
                raise DataError(f"{file}: two columns have the same name; found {format_columns(header)}")
        elif len(cells) != len(header):
            yield RowFailure(location=where, reason=f"{len(cells)} columns where the header has {len(header)}")
        else:
            yield SourceRow(where=where, cells=dict(zip(header, cells, strict=True)))


def _read_parquet(file: Path) -> Iterator[SourceRow]:
    import pyarrow  # noqa: PLC0415 - only parquet needs it
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for cells in batch.to_pylist():
                    number += 1
                    yield SourceRow(where=f"{file.name}:row {number}", cells=cells)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file}: is not a parquet file or is damaged ({type(error).__name__})") from error
