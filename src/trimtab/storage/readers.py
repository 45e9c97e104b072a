"""Reads stored files: one function per file type. A file that cannot be read gives a `StoreError` with the fix."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trimtab.errors import StoreError, TrimtabError

MAX_REASON_LENGTH = 200


@contextmanager
def translate_read_errors(path: Path, remedy: str) -> Iterator[None]:
    """Converts the errors of parsing a damaged file to `StoreError`: its path, the reason and the remedy."""
    try:
        yield
    except TrimtabError:
        raise
    except KeyError as error:
        raise StoreError(f"{path} is damaged (no {error}); {remedy}") from error
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        EOFError,
        RecursionError,
        OverflowError,
        MemoryError,
        NotImplementedError,
        pa.ArrowException,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{path} is damaged ({reason[:MAX_REASON_LENGTH]}); {remedy}") from error


def read_json_document(path: Path, remedy: str) -> Any:
    with translate_read_errors(path, remedy):
        return json.loads(path.read_text(encoding="utf-8"))


def parse_table(path: Path, data: bytes, schema: pa.Schema | None, remedy: str) -> list[dict[str, Any]]:
    """The rows of a Parquet file. Raises `StoreError` if it lacks a column of `schema`.

    Reads in this thread: a process that exits while a thread of `pq.read_table` ends is aborted (apache/arrow#34314).
    """
    with translate_read_errors(path, remedy), pq.ParquetFile(io.BytesIO(data)) as file:
        table = file.read(use_threads=False)
        missing = [] if schema is None else [name for name in schema.names if name not in table.column_names]
        if missing:
            raise StoreError(f"{path} has no column {missing[0]!r}, so an earlier version wrote it; {remedy}")
        return table.to_pylist()  # type: ignore[no-any-return]


def map_array(path: Path, remedy: str) -> NDArray[np.float32]:
    """Memory-maps an array; rows are read from disk on access."""
    with translate_read_errors(path, remedy):
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
