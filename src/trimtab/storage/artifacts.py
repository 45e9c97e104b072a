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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_array, atomic_write_text, translate_os_errors

ParquetRow = Mapping[str, Any]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_json(value: Any) -> str:
    """A 24-digit hexadecimal hash of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a stage's result depends on. `settings` omit defaults; `inputs` are fingerprints."""

    stage: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of the recipe's SHA-256 hash."""
        body = {"stage": self.stage, "version": self.version, "settings": self.settings, "inputs": self.inputs}
        return hashlib.sha256(canonical_json(body).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A complete stage folder and its record."""

    folder: Path
    record: Mapping[str, Any]

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """Reads the rows of a table that the stage wrote."""
        return pq.read_table(self.folder / f"{name}.parquet").to_pylist()  # type: ignore[no-any-return]

    def read_array(self, name: str) -> NDArray[np.float32]:
        """Memory-maps an array that `Draft.resumable_array` wrote; rows are read from disk on access."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def read_json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An incomplete stage folder. Its files survive a kill; only the `resumable_` methods skip work already done."""

    folder: Path

    def write_rows(self, name: str, rows: Sequence[ParquetRow], schema: pa.Schema) -> None:
        with translate_os_errors(self.folder):
            partial = self.folder / f"{name}.parquet.part"
            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), partial)
            os.replace(partial, self.folder / f"{name}.parquet")

    def write_json(self, name: str, value: Any) -> None:
        with translate_os_errors(self.folder):
            atomic_write_text(
                self.folder / f"{name}.json", json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
            )

    def resumable_rows(
        self, name: str, keys: Sequence[str], make: Callable[[Sequence[str]], Iterator[list[dict[str, Any]]]]
    ) -> list[dict[str, Any]]:
        """Computes rows in chunks and saves each chunk before the next one starts.

        `make` receives the missing keys and yields lists of rows with a `key`. A truncated last line, left by a kill, is
        discarded. Returns the rows in the order of `keys`.
        """
        part = self.folder / f"{name}.jsonl.part"
        rows = {row["key"]: row for row in _read_complete_lines(part)}
        with translate_os_errors(self.folder):
            atomic_write_text(part, "".join(json.dumps(row) + "\n" for row in rows.values()))
            with part.open("a", encoding="utf-8") as out:
                for chunk in make([key for key in keys if key not in rows]):
                    out.write("".join(json.dumps(row) + "\n" for row in chunk))
                    out.flush()
                    rows.update({str(row["key"]): row for row in chunk})
        return [rows[key] for key in keys]

    def resumable_array(
        self,
        name: str,
        rows: int,
        chunk: int,
        make: Callable[[slice], NDArray[np.float32]],
        tick: Callable[[int], None],
    ) -> None:
        """Computes an array in chunks of rows and saves each chunk before the next one starts."""
        parts = []
        for start in range(0, rows, chunk):
            indices = slice(start, min(start + chunk, rows))
            part = self.folder / f"{name}-{start:09d}.part"
            if not part.is_file():
                with translate_os_errors(self.folder):
                    atomic_write_array(part, make(indices))
            parts.append(part)
            tick(indices.stop - indices.start)
        with translate_os_errors(self.folder):
            atomic_write_array(self.folder / f"{name}.npy", np.concatenate([np.load(part) for part in parts]))


class Store:
    """The artifacts of one run folder. Use it inside `lock`, which excludes other runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this run. Raises `StoreError` with the process that holds the lock."""
        with translate_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        owner = self.root / "run.lock.json"
        lock = filelock.FileLock(self.root / "run.lock")
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
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def folder(self, name: str, recipe: Recipe) -> Path:
        return self.root / "stages" / f"{name}-{recipe.fingerprint}"

    def find(self, name: str, recipe: Recipe) -> Artifact | None:
        """The complete artifact of this recipe, under any stage name, or None."""
        folders = [self.folder(name, recipe), *self.folders(recipe)]
        return next((open_artifact(folder) for folder in folders if (folder / "record.json").is_file()), None)

    def folders(self, recipe: Recipe) -> list[Path]:
        """The folders of this recipe, complete or not."""
        return sorted(self.root.glob(f"stages/*-{recipe.fingerprint}"))

    def discard(self, name: str, recipe: Recipe) -> None:
        """Deletes the folders of this recipe. The record of the next artifact states when it was regenerated."""
        for old in self.folders(recipe):
            (old / "record.json").unlink(missing_ok=True)  # first, so that a kill leaves no folder that looks complete
            shutil.rmtree(old)
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True)
            atomic_write_text(folder / "regenerated_at.json", canonical_json(_utc_timestamp()))

    def get_or_create(self, name: str, recipe: Recipe, make: Callable[[Draft], Mapping[str, Any]]) -> Artifact:
        """Returns the artifact of this recipe, and creates it if necessary; `make` returns the facts for the record."""
        artifact = self.find(name, recipe)
        if artifact is not None:
            return artifact
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        seconds = self._read_elapsed(folder)
        start = time.monotonic()
        try:
            facts = make(Draft(folder=folder))
        finally:
            seconds += time.monotonic() - start
            self._write_elapsed(folder, seconds)
        record = {
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
        regenerated = folder / "regenerated_at.json"
        if regenerated.is_file():
            record["regenerated_at"] = json.loads(regenerated.read_text())
        with translate_os_errors(folder):
            atomic_write_text(folder / "record.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
        (folder / "elapsed.json").unlink(missing_ok=True)
        for part in folder.glob("*.part"):
            part.unlink()
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        return Artifact(folder=folder, record=record)

    def _read_elapsed(self, folder: Path) -> float:
        """Seconds spent by killed or failed attempts at this folder, as far as they were saved."""
        elapsed = folder / "elapsed.json"
        return float(json.loads(elapsed.read_text())) if elapsed.is_file() else 0.0

    def _write_elapsed(self, folder: Path, seconds: float) -> None:
        if folder.is_dir() and shutil.disk_usage(folder).free > 1 << 20:
            atomic_write_text(folder / "elapsed.json", json.dumps(round(seconds, 3)))


def open_artifact(folder: Path) -> Artifact:
    """Opens a complete folder. Raises `StoreError` if it is incomplete or its record cannot be read."""
    path = folder / "record.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{folder} is not finished (no record.json); run the study again to finish it") from None
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); delete {folder} and run again") from error
    if not isinstance(record, dict):
        raise StoreError(f"{path} is damaged (not a mapping); delete {folder} and run again")
    return Artifact(folder=folder, record=record)


def _read_complete_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _describe_lock_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "unknown process"
    return f"process {owner['process']} on {owner['host']} since {owner['since']}"


def _utc_timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
