"""Artifact folders: the only place that writes a study's results.

A stage's folder is `NAME-FINGERPRINT/`. It is finished when it holds `record.json`, which is written last, by rename; any
other folder is a draft that the next run goes on from. A fingerprint is the hash of what made the folder, so a changed
setting makes a new folder and never meets an old result.
"""

from __future__ import annotations

import errno
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

TableRow = Mapping[str, Any]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a stage's result depends on. `settings` are those that differ from their defaults; `inputs` are fingerprints."""

    stage: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The first 12 hex digits of the sha256 of the recipe."""
        body = {"stage": self.stage, "version": self.version, "settings": self.settings, "inputs": self.inputs}
        return hashlib.sha256(canonical_json(body).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A finished folder and its record."""

    folder: Path
    record: Mapping[str, Any]

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table that the stage wrote."""
        return pq.read_table(self.folder / f"{name}.parquet").to_pylist()  # type: ignore[no-any-return]

    def read_array(self, name: str) -> NDArray[np.float32]:
        """An array that `Draft.keep_array` wrote; its rows are read from the disk as they are asked for."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def read_json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A folder in the making. Everything in it survives a kill; only what `keep` says was done is not done again."""

    folder: Path

    def write_rows(self, name: str, rows: Sequence[TableRow], schema: pa.Schema) -> None:
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
        """Rows made in chunks, each chunk safe on disk before the next is begun.

        `make` gets the keys that are still to do and yields lists of rows that carry a `key`. A line cut short by a kill
        is dropped. The rows come back in the order of `keys`.
        """
        part = self.folder / f"{name}.jsonl.part"
        done = {row["key"]: row for row in _read_complete_lines(part)}
        with translate_os_errors(self.folder):
            atomic_write_text(part, "".join(json.dumps(row) + "\n" for row in done.values()))
            with part.open("a", encoding="utf-8") as out:
                for chunk in make([key for key in keys if key not in done]):
                    out.write("".join(json.dumps(row) + "\n" for row in chunk))
                    out.flush()
                    done.update({str(row["key"]): row for row in chunk})
        return [done[key] for key in keys]

    def resumable_array(
        self,
        name: str,
        rows: int,
        chunk: int,
        make: Callable[[slice], NDArray[np.float32]],
        tick: Callable[[int], None],
    ) -> None:
        """An array made in chunks of rows, each chunk safe on disk before the next is begun."""
        parts = []
        for start in range(0, rows, chunk):
            place = slice(start, min(start + chunk, rows))
            part = self.folder / f"{name}-{start:09d}.part"
            if not part.is_file():
                with translate_os_errors(self.folder):
                    _atomic_write_array(part, make(place))
            parts.append(part)
            tick(place.stop - place.start)
        with translate_os_errors(self.folder):
            _atomic_write_array(self.folder / f"{name}.npy", np.concatenate([np.load(part) for part in parts]))


class Store:
    """The artifacts under one folder. Open it with `hold`, which keeps other runs out."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps the folder for this run. Raises `StoreError` naming the run that has it."""
        with translate_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        holder = self.root / "run.holder.json"
        lock = filelock.FileLock(self.root / "run.lock")
        try:
            with translate_os_errors(self.root):
                lock.acquire(timeout=0)
        except filelock.Timeout:
            raise StoreError(
                f"{self.root} is held by another run ({_describe_lock_owner(holder)}); wait for it, or use --out"
            ) from None
        try:
            atomic_write_text(
                holder,
                canonical_json({"process": os.getpid(), "host": socket.gethostname(), "since": _utc_timestamp()}),
            )
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def folder(self, name: str, recipe: Recipe) -> Path:
        return self.root / "stages" / f"{name}-{recipe.fingerprint}"

    def find(self, name: str, recipe: Recipe) -> Artifact | None:
        """The finished artifact of this recipe, whatever it was called when it was made, or None."""
        folders = [self.folder(name, recipe), *self.folders(recipe)]
        return next((open_artifact(each) for each in folders if (each / "record.json").is_file()), None)

    def folders(self, recipe: Recipe) -> list[Path]:
        """The folders of this recipe, finished or not."""
        return sorted(self.root.glob(f"stages/*-{recipe.fingerprint}"))

    def discard(self, name: str, recipe: Recipe) -> None:
        """Takes away what was made of this recipe or begun; what is made of it next says in its record that it is another."""
        for old in self.folders(recipe):
            (old / "record.json").unlink(missing_ok=True)  # first: what a kill leaves must not be taken for finished
            shutil.rmtree(old)
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True)
            atomic_write_text(folder / "again.json", canonical_json(_utc_timestamp()))

    def get_or_create(self, name: str, recipe: Recipe, make: Callable[[Draft], Mapping[str, Any]]) -> Artifact:
        """The artifact of this recipe, made if it is not there; `make` returns facts for the record."""
        found = self.find(name, recipe)
        if found is not None:
            return found
        folder = self.folder(name, recipe)
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        spent = self._read_elapsed(folder)
        began = time.monotonic()
        try:
            facts = make(Draft(folder=folder))
        finally:
            spent += time.monotonic() - began
            self._write_elapsed(folder, spent)
        record = {
            "name": name,
            "stage": recipe.stage,
            "version": recipe.version,
            "fingerprint": recipe.fingerprint,
            "settings": dict(recipe.settings),
            "inputs": dict(recipe.inputs),
            "finished": _utc_timestamp(),
            "seconds": round(spent, 3),
            "facts": dict(facts),
            **({"again": json.loads(again.read_text())} if (again := folder / "again.json").is_file() else {}),
        }
        with translate_os_errors(folder):
            atomic_write_text(folder / "record.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
        (folder / "spent.json").unlink(missing_ok=True)
        for part in folder.glob("*.part"):
            part.unlink()
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        return Artifact(folder=folder, record=record)

    def _read_elapsed(self, folder: Path) -> float:
        """Seconds that killed or failed attempts at this folder took, as far as they could say."""
        spent = folder / "spent.json"
        return float(json.loads(spent.read_text())) if spent.is_file() else 0.0

    def _write_elapsed(self, folder: Path, seconds: float) -> None:
        if folder.is_dir() and shutil.disk_usage(folder).free > 1 << 20:
            atomic_write_text(folder / "spent.json", json.dumps(round(seconds, 3)))


def open_artifact(folder: Path) -> Artifact:
    """A finished folder. Raises `StoreError` where it is not finished or its record cannot be read."""
    record = folder / "record.json"
    try:
        read = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{folder} is not finished (no record.json); run the study again to finish it") from None
    except ValueError as error:
        raise StoreError(f"{record} is damaged ({error}); delete {folder} and run again") from error
    if not isinstance(read, dict):
        raise StoreError(f"{record} is damaged (not a mapping); delete {folder} and run again")
    return Artifact(folder=folder, record=read)


def hash_json(value: Any) -> str:
    """24 hex digits that stand for a value of JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:24]


def atomic_write_text(path: Path, text: str) -> None:
    """The file with this text, or the file as it was: never half of it."""
    partial = path.with_name(path.name + ".writing")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_output(path: Path, text: str) -> None:
    """A file that was asked for by name, as `write_whole`, in a folder that is made where there is none.

    Raises `StoreError` where it cannot be written.
    """
    if path.is_dir():
        raise StoreError(f"cannot write {path}: that is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, text)
    except OSError as error:
        why = f"{path.parent} is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise StoreError(f"cannot write {path}: {why}; name another file") from error


def _atomic_write_array(path: Path, values: NDArray[np.float32]) -> None:
    partial = path.with_name(path.name + ".writing")
    with partial.open("wb") as out:
        np.save(out, values, allow_pickle=False)
    os.replace(partial, path)


def _read_complete_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _describe_lock_owner(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return "it has not said which"
    return f"process {found['process']} on {found['host']} since {found['since']}"


def _utc_timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusals into messages that name the folder and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left for {folder}: free some, or use --out on another disk; what is finished is kept, "
                "and the same command goes on from there"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StoreError(f"cannot write {folder}: {error.strerror}; use --out to name another folder") from error
        raise
