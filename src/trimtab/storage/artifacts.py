"""Artifact folders: the only code that writes the results of stages.

The folder of a stage is `NAME-FINGERPRINT/`. It is complete if it contains `record.json`, which is written last, by an
atomic rename; otherwise it is a draft, and the next run resumes it. The fingerprint is a hash of everything the result
depends on, so a changed setting creates a new folder and never reuses an old result.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimtab.errors import StoreError
from trimtab.storage.atomic import WRITING_SUFFIX, atomic_write_array, atomic_write_text
from trimtab.storage.chunks import (
    ARRAY,
    MARK,
    ROWS,
    Chunking,
    ChunkTable,
    Codec,
    NoChunkLeftError,
    Rows,
    compute_all_chunks,
    compute_open_chunks,
    delete_chunk_lists,
    find_chunk_tables,
    require_same_chunks,
)
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.storage.readers import map_array, parse_table, read_json_document, translate_read_errors
from trimtab.storage.recipe import Recipe, canonical_json
from trimtab.storage.record import (
    CHECKPOINT_PREFIX,
    ELAPSED_FILE,
    PARTIAL_SUFFIX,
    RECORD_FILE,
    REGENERATED_FILE,
    describe_remedy,
    iter_file_problems,
    read_record,
    write_record,
)
from trimtab.storage.row_groups import RowGroupWriter, iter_batches
from trimtab.storage.stored_table import StoredTable

ParquetRow = Mapping[str, Any]
T = TypeVar("T")
# The folder, in a run, of the folders of its stages.
STAGES_DIR = "stages"
# The lock of a folder, and who holds it.
LOCK_FILES = ("run.lock", "run.lock.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A complete stage folder and its record."""

    folder: Path
    record: Mapping[str, Any]

    def read_rows(self, name: str, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
        """Reads the rows of a table that the stage wrote. Raises `StoreError` if it is damaged or lacks a column."""
        path, remedy = self.folder / f"{name}.parquet", describe_remedy(self.folder)
        with translate_read_errors(path, remedy):
            data = path.read_bytes()
        self._require_digest(path, hashlib.sha256(data).hexdigest())
        return parse_table(path, data, schema, remedy)

    def _require_digest(self, path: Path, digest: str) -> None:
        """Raises `StoreError` if it is not that of the record: `open_artifact` compared a large file only by samples."""
        entry = self.record.get("files", {}).get(path.name)
        if entry is not None and digest != entry["sha256"]:
            raise StoreError(
                f"{path} is damaged (was changed after the stage finished); {describe_remedy(self.folder)}"
            )

    def open_table(self, name: str, schema: pa.Schema, convert: Callable[[dict[str, Any]], T]) -> StoredTable[T]:
        """Opens a table whose rows are read, and converted to values, when they are accessed.

        Raises `StoreError` if it is damaged or lacks a column.
        """
        path, remedy = self.folder / f"{name}.parquet", describe_remedy(self.folder)
        with translate_read_errors(path, remedy), path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._require_digest(path, digest)
        return StoredTable(path, schema, convert, remedy)

    def read_array(self, name: str) -> NDArray[np.float32]:
        """Memory-maps an array that `Draft.compute_array` wrote; rows are read from disk on access."""
        return map_array(self.folder / f"{name}.npy", describe_remedy(self.folder))

    def read_json(self, name: str) -> Any:
        return read_json_document(self.folder / f"{name}.json", describe_remedy(self.folder))

    @contextmanager
    def translate_row_errors(self, name: str) -> Iterator[None]:
        """Converts errors of the values in a table to `StoreError`."""
        with translate_read_errors(self.folder / f"{name}.parquet", describe_remedy(self.folder)):
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An incomplete stage folder. Its files survive a kill; only the `compute_` methods skip work already done.

    With `helps`, another process executes the stage. This one computes chunks for it, writes nothing else, and ends with
    `NoChunkLeftError` in the first `compute_` method.
    """

    folder: Path
    helps: bool = False

    def write_rows(self, name: str, rows: Iterable[ParquetRow], schema: pa.Schema) -> None:
        """Writes a table. Few of the rows are in memory at the same time."""
        if self.helps:
            return
        with translate_os_errors(self.folder):
            partial = self.folder / f"{name}.parquet{PARTIAL_SUFFIX}"
            with RowGroupWriter(partial, schema) as writer:
                for batch in iter_batches(rows):
                    writer.write(pa.Table.from_pylist([dict(row) for row in batch], schema=schema))
            os.replace(partial, self.folder / f"{name}.parquet")

    def write_json(self, name: str, value: Any) -> None:
        if self.helps:
            return
        with translate_os_errors(self.folder):
            atomic_write_text(
                self.folder / f"{name}.json", json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
            )

    def compute_rows(self, name: str, chunking: Chunking, compute: Callable[[slice], Rows]) -> Rows:
        """Computes JSON rows in chunks, each of which is saved before the next one starts. Returns all rows in order."""
        return [row for chunk in self._compute_chunks(name, chunking, ROWS, compute) for row in chunk]

    def compute_array(self, name: str, chunking: Chunking, compute: Callable[[slice], NDArray[np.float32]]) -> None:
        """Computes an array in chunks of rows, each of which is saved before the next one starts, and writes it."""
        parts = self._compute_chunks(name, chunking, ARRAY, compute)
        atomic_write_array(self.folder / f"{name}.npy", np.concatenate(parts))

    def compute_cached(self, name: str, chunking: Chunking, compute: Callable[[slice], list[T]]) -> list[T]:
        """Computes values in chunks whose expensive parts are cached by `compute`, so this process computes all of them.

        Chunks that another process has computed are only faster. Returns all values in order.
        """
        return [value for chunk in self._compute_chunks(name, chunking, MARK, compute) for value in chunk]

    def _compute_chunks(self, name: str, chunking: Chunking, codec: Codec[T], compute: Callable[[slice], T]) -> list[T]:
        table = ChunkTable(self.folder, name, chunking.num_rows, chunking.size, chunking.conditions)
        with translate_os_errors(self.folder):
            if not self.helps:
                return compute_all_chunks(table, codec, compute, chunking.on_load)
            listed = next((each for each in find_chunk_tables(self.folder) if each.name == name), None)
            if listed is None:
                raise NoChunkLeftError(0)
            require_same_chunks(table, listed)
            raise NoChunkLeftError(compute_open_chunks(table, codec, compute))


class Store:
    """The artifacts of one run folder. Use it inside `lock`, which excludes other runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this run. Raises `StoreError` with the process that holds the lock."""
        with translate_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        owner = self.root / LOCK_FILES[1]
        lock = filelock.FileLock(self.root / LOCK_FILES[0])
        try:
            with translate_os_errors(self.root):
                lock.acquire(timeout=0)
        except filelock.Timeout:
            raise StoreError(
                f"{self.root} is in use by another run ({_describe_lock_owner(owner)}); wait for it, or use --out"
            ) from None
        try:
            document = {"process": os.getpid(), "host": socket.gethostname(), "since": _utc_timestamp()}
            atomic_write_text(owner, canonical_json(document))
            with translate_os_errors(self.root):
                yield
        finally:
            with suppress(OSError):  # the folder can be gone, or read-only
                owner.unlink(missing_ok=True)
            lock.release()

    def folder(self, name: str, recipe: Recipe) -> Path:
        return self.root / STAGES_DIR / f"{name}-{recipe.fingerprint}"

    def find(self, name: str, recipe: Recipe) -> Artifact | None:
        """The complete artifact of this recipe, under any stage name, or None."""
        folder = self.find_folder(name, recipe)
        return None if folder is None else open_artifact(folder)

    def find_folder(self, name: str, recipe: Recipe) -> Path | None:
        """The folder of the artifact that `find` opens. Its files are not read, so another process can be working on them."""
        folders = [self.folder(name, recipe), *self.folders(recipe)]
        return next((folder for folder in folders if (folder / RECORD_FILE).exists()), None)

    def folders(self, recipe: Recipe) -> list[Path]:
        """The folders of this recipe, complete or not."""
        return sorted(self.root.glob(f"{STAGES_DIR}/*-{recipe.fingerprint}"))

    def discard(self, name: str, recipe: Recipe) -> None:
        """Deletes the folders of this recipe. The record of the next artifact states when it was regenerated."""
        for old in self.folders(recipe):
            with translate_os_errors(old):
                (old / RECORD_FILE).unlink(
                    missing_ok=True
                )  # first, so that a kill leaves no folder that looks complete
                shutil.rmtree(old)
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True)
            atomic_write_text(folder / REGENERATED_FILE, canonical_json(_utc_timestamp()))

    def get_or_create(self, name: str, recipe: Recipe, make: Callable[[Draft], Mapping[str, Any]]) -> Artifact:
        """Returns the artifact of this recipe, and creates it if necessary; `make` returns the facts for the record."""
        artifact = self.find(name, recipe)
        if artifact is not None:
            return artifact
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            delete_chunk_lists(folder)  # a killed attempt can have had other conditions
        seconds = self._read_elapsed(folder)
        start = time.monotonic()
        try:
            with translate_os_errors(folder):
                facts = make(Draft(folder=folder))
        finally:
            delete_chunk_lists(folder)
            seconds += time.monotonic() - start
            self._write_elapsed(folder, seconds)
        fields = {
            "name": name,
            "stage": recipe.stage,
            "version": recipe.version,
            "fingerprint": recipe.fingerprint,
            "settings": dict(recipe.settings),
            "inputs": dict(recipe.inputs),
            "finished_at": _utc_timestamp(),
            "seconds": round(seconds, 3),
            "facts": dict(facts),
        }
        regenerated = folder / REGENERATED_FILE
        if regenerated.is_file():
            fields["regenerated_at"] = read_json_document(regenerated, describe_remedy(folder))
        with translate_os_errors(folder):
            record = write_record(folder, fields)
            _delete_temporary_files(folder)
        return Artifact(folder=folder, record=record)

    def _read_elapsed(self, folder: Path) -> float:
        """Seconds spent by killed or failed attempts at this folder, if they were saved."""
        elapsed = folder / ELAPSED_FILE
        if not elapsed.is_file():
            return 0.0
        remedy = "delete it and run again; only the time of earlier attempts is lost"
        with translate_read_errors(elapsed, remedy):
            return float(read_json_document(elapsed, remedy))

    def _write_elapsed(self, folder: Path, seconds: float) -> None:
        with suppress(OSError, StoreError):  # another error may be on its way, and it matters more
            if folder.is_dir() and shutil.disk_usage(folder).free > 1 << 20:
                atomic_write_text(folder / ELAPSED_FILE, json.dumps(round(seconds, 3)))


def open_artifact(folder: Path) -> Artifact:
    """Opens a complete folder.

    Raises `StoreError` if it is incomplete, its record is damaged, or one of its files is not as recorded.
    """
    record = read_record(folder)
    problem = next(iter_file_problems(folder, record), None)
    if problem is not None:
        path, reason = problem
        raise StoreError(f"{path} is damaged ({reason}); {describe_remedy(folder)}")
    return Artifact(folder=folder, record=record)


def _delete_temporary_files(folder: Path) -> None:
    (folder / ELAPSED_FILE).unlink(missing_ok=True)
    for path in [*folder.glob(f"*{PARTIAL_SUFFIX}"), *folder.glob(f"*{WRITING_SUFFIX}")]:
        path.unlink(missing_ok=True)  # another process can rename its temporary file at this moment
    for checkpoint in folder.glob(f"{CHECKPOINT_PREFIX}*"):
        shutil.rmtree(checkpoint)


def _describe_lock_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "unknown process"


def _utc_timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
