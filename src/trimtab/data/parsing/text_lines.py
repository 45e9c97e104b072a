"""Opens text files in UTF-8 or UTF-16, plain or gzipped, and reads their lines in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trimtab.errors import DataError

# Characters of one row of a text file. A longer line is skipped and counted.
MAX_ROW_LENGTH = 2**24
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SNIFFED_BYTES = 4096


def is_gzip_name(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def open_text(file: Path) -> TextIO:
    """Opens a text file and keeps its line endings. Raises `DataError` for UTF-16 or UTF-32 without a byte-order mark.

    Invalid bytes become surrogates, so that only the cells that contain them are rejected.
    """
    open_file = gzip.open if is_gzip_name(file) else io.open
    return open_file(file, "rt", encoding=_detect_encoding(file), errors="surrogateescape", newline="")


def _detect_encoding(file: Path) -> str:
    with gzip.open(file, "rb") if is_gzip_name(file) else file.open("rb") as stream:
        start = stream.read(_SNIFFED_BYTES)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError(f"{file}: the text is UTF-32; save it as UTF-8")
    if start.startswith(_UTF16_MARKS):
        return "utf-16"
    if start.count(0) > len(start) // 4:
        raise DataError(f"{file}: the text is UTF-16 or binary, without a byte order mark; save it as UTF-8")
    return "utf-8-sig"


def read_lines(stream: TextIO) -> Iterator[str | None]:
    """Yields the lines with their ends, and None for a line of more than `MAX_ROW_LENGTH` characters."""
    while line := stream.readline(MAX_ROW_LENGTH):
        if len(line) < MAX_ROW_LENGTH or line.endswith(("\n", "\r")):
            yield line
            continue
        while (rest := stream.readline(MAX_ROW_LENGTH)) and not rest.endswith(("\n", "\r")):
            pass
        yield None
