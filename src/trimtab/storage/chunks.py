"""Chunks of rows: the unit in which a stage computes and saves its rows, and in which processes share the work.

A chunk has the rows from `start` to `start + size` in the order of the stage. Its boundaries do not depend on what is saved
already or on who computes it, so every process computes the same bytes. A chunk is one file, written by an atomic rename. The
process that executes the stage lists its chunks in a file; others then compute chunks that nobody has claimed. A claim is a
lock that the operating system releases if its process dies.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import filelock
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_bytes
from trimtab.storage.record import PARTIAL_SUFFIX, RECORD_FILE

T = TypeVar("T")
Rows = list[dict[str, Any]]

_LIST_SUFFIX = f".chunks{PARTIAL_SUFFIX}"
_LOCK_SUFFIX = f".lock{PARTIAL_SUFFIX}"
_POLL_SECONDS = 0.1
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How a stage divides its rows.

    `size` is a constant of the stage: another one gives other batches, so other rounding. `conditions` are the options of this
    process that affect rounding; processes that share a stage need the same ones. `on_load` is called with the number of rows
    of each chunk that another process, or an earlier run, has computed.
    """

    num_rows: int
    size: int
    conditions: Mapping[str, Any]
    on_load: Callable[[int], object] = lambda num_rows: None


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """The contents of the file of a chunk. `decode` returns None if a saved chunk does not replace its computation."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T | None]


class NoChunkLeftError(Exception):
    """Ends a stage in a process that computes chunks for another one. `num_computed` is the number that it computed."""

    def __init__(self, num_computed: int) -> None:
        super().__init__(f"{num_computed} chunks computed")
        self.num_computed = num_computed


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """The chunks of the table `name` in the folder of an unfinished stage."""

    folder: Path
    name: str
    num_rows: int
    size: int
    conditions: Mapping[str, Any]

    @property
    def starts(self) -> range:
        return range(0, self.num_rows, self.size)

    def select_rows(self, start: int) -> slice:
        return slice(start, min(start + self.size, self.num_rows))

    def save_list(self) -> None:
        """Lets other processes compute chunks."""
        document = [self.name, self.num_rows, self.size, dict(self.conditions)]
        atomic_write_bytes(self._list_path, json.dumps(document).encode())

    def is_listed(self) -> bool:
        """Whether a process executes the stage, or was killed while it did."""
        return self._list_path.exists()

    def is_saved(self, start: int) -> bool:
        return self._path(start).exists()

    def load(self, start: int, codec: Codec[T]) -> T | None:
        """The saved chunk; None if there is none, or if its file is damaged or of another stage."""
        path = self._path(start)
        if not path.is_file():
            return None
        data = path.read_bytes()
        content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        return codec.decode(content) if self._hash(start, content) == digest else None

    def save(self, start: int, content: bytes) -> None:
        """Two processes that compute the same chunk write the same file, each under a temporary name of its own."""
        writer = f".{socket.gethostname()}-{os.getpid()}"
        atomic_write_bytes(self._path(start), content + self._hash(start, content), writer)

    @contextmanager
    def try_claim(self, start: int) -> Iterator[bool]:
        """Claims a chunk without waiting. Yields whether it was claimed."""
        lock = filelock.FileLock(self.folder / f"{self.name}-{start:09d}{_LOCK_SUFFIX}", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def is_open(self, start: int) -> bool:
        """Whether the chunk is neither saved nor claimed."""
        if self.is_saved(start):
            return False
        with self.try_claim(start) as is_claimed:
            return is_claimed

    @property
    def _list_path(self) -> Path:
        return self.folder / f"{self.name}{_LIST_SUFFIX}"

    def _path(self, start: int) -> Path:
        return self.folder / f"{self.name}-{start:09d}{PARTIAL_SUFFIX}"

    def _hash(self, start: int, content: bytes) -> bytes:
        """Covers what the file belongs to: files of two stages, or of one table, can be confused."""
        place = f"{self.folder.name}/{self._path(start).name}:{self.select_rows(start).stop}"
        return hashlib.sha256(place.encode() + b"\n" + content).digest()


def compute_all_chunks(
    table: ChunkTable, codec: Codec[T], compute: Callable[[slice], T], on_load: Callable[[int], object]
) -> list[T]:
    """All chunks, in order. Waits for those that other processes compute, and computes those whose process died."""
    table.save_list()
    chunks: dict[int, T] = {}
    missing = list(table.starts)
    while missing:
        for start in missing:
            rows = table.select_rows(start)
            with table.try_claim(start) as is_claimed:
                if not is_claimed:
                    continue
                value = table.load(start, codec)
                if value is None:
                    value = compute(rows)
                    table.save(start, codec.encode(value))
                else:
                    on_load(rows.stop - rows.start)
            chunks[start] = value
        missing = [start for start in missing if start not in chunks]
        if missing:
            time.sleep(_POLL_SECONDS)
    return [chunks[start] for start in table.starts]


def compute_open_chunks(table: ChunkTable, codec: Codec[T], compute: Callable[[slice], T]) -> int:
    """Computes chunks that nobody has claimed, until the process that executes the stage ends it. Returns how many."""
    num_computed = 0
    for start in table.starts:
        if table.is_saved(start):
            continue
        with table.try_claim(start) as is_claimed:
            if not table.is_listed():
                break
            if is_claimed and not table.is_saved(start):
                table.save(start, codec.encode(compute(table.select_rows(start))))
                num_computed += 1
    return num_computed


def find_chunk_tables(folder: Path) -> list[ChunkTable]:
    """The tables whose chunks other processes can compute. None if the stage is finished."""
    if (folder / RECORD_FILE).exists():
        return []
    tables = []
    for path in sorted(folder.glob(f"*{_LIST_SUFFIX}")):
        try:
            tables.append(ChunkTable(folder, *json.loads(path.read_bytes())))
        except FileNotFoundError:  # the stage was finished in the meantime
            continue
    return tables


def delete_chunk_lists(folder: Path) -> None:
    """Lets no other process compute further chunks. Saved chunks remain."""
    for path in folder.glob(f"*{_LIST_SUFFIX}"):
        path.unlink(missing_ok=True)


def wait_for_claimed_chunks(folder: Path) -> None:
    """Returns when no other process computes a chunk. Call it after `delete_chunk_lists`, so that none starts another one."""
    for path in folder.glob(f"*{_LOCK_SUFFIX}"):
        with filelock.FileLock(path):
            pass


def require_same_chunks(table: ChunkTable, listed: ChunkTable) -> None:
    """Raises `StoreError` unless this process would compute the chunks of the process that executes the stage."""
    ours, theirs = ((each.num_rows, each.size, dict(each.conditions)) for each in (table, listed))
    if ours != theirs:
        raise StoreError(
            f"this process cannot compute chunks of {table.folder}: {_describe_chunks(table)} here, but "
            f"{_describe_chunks(listed)} in the process that executes the stage; use the same version and the same options"
        )


def _describe_chunks(table: ChunkTable) -> str:
    conditions = "".join(f", {name} {value}" for name, value in table.conditions.items())
    return f"{table.num_rows} rows in chunks of {table.size}{conditions}"


def _encode_rows(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _decode_rows(content: bytes) -> Rows:
    return [json.loads(line) for line in content.decode().split("\n")[:-1]]


def _encode_array(values: NDArray[np.float32]) -> bytes:
    data = io.BytesIO()
    np.save(data, values, allow_pickle=False)
    return data.getvalue()


def _decode_array(content: bytes) -> NDArray[np.float32]:
    return np.load(io.BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]


ROWS = Codec(_encode_rows, _decode_rows)
ARRAY = Codec(_encode_array, _decode_array)
# The results are elsewhere, such as in a cache of completions: the file only says that nobody needs to compute the chunk again.
MARK: Codec[Any] = Codec(lambda value: b"", lambda content: None)
