"""Finds the files of a source and reads their rows. A row that cannot be read is a failure."""

from __future__ import annotations

import glob
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from trimtab.data.parsing.csv_rows import read_csv_rows
from trimtab.data.parsing.json_rows import read_json_array, read_json_lines
from trimtab.data.parsing.parquet_rows import read_parquet_rows
from trimtab.data.parsing.rows import SourceRow
from trimtab.data.parsing.text_lines import open_text
from trimtab.errors import DataError
from trimtab.types import RowFailure

SUPPORTED_FORMATS = ".jsonl, .json, .csv, .tsv (each also with .gz), .parquet"
_SUPPORTED_SUFFIX = re.compile(r"\.(jsonl|json|csv|tsv)(\.gz)?$|\.parquet$", re.IGNORECASE)


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
        yield from read_parquet_rows(file)
        return
    suffix = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    read = {"jsonl": read_json_lines, "json": read_json_array, "csv": read_csv_rows, "tsv": read_csv_rows}[suffix]
    try:
        with open_text(file) as stream:
            yield from read(file, stream)
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise _read_error(file, error) from error


def _read_error(file: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeError):
        return DataError(f"{file}: the text is not valid UTF-16, although it starts with its mark; save it as UTF-8")
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return DataError(f"{file}: cannot read: {error.strerror or type(error).__name__}")
    return DataError(f"{file}: damaged or not gzip ({type(error).__name__}); copy it again or remove .gz from its name")
