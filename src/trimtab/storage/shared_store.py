"""Finished stages that several runs share, in a folder with one lock per stage.

A stage is found by its recipe and by the contents of its inputs, so it is never combined with inputs that differ from
those it was made from. A run gets hard links to its files, or copies on another disk, and stays complete by itself: the
store, or any other run, can be deleted.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from trimtab.errors import StoreError
from trimtab.storage.artifacts import STAGES_DIR, Artifact, Draft, Store, open_artifact
from trimtab.storage.atomic import atomic_write_text, flush_to_disk
from trimtab.storage.disk_errors import OTHER_FOLDER, translate_os_errors
from trimtab.storage.recipe import Recipe, canonical_json, hash_json
from trimtab.storage.record import RECORD_FILE

LOCKS_DIR = "locks"
# Where folders are assembled before they get their final name.
INCOMING_DIR = "incoming"
_POLL_SECONDS = 0.5
_OTHER_STORE = "choose another folder with --store"


def compute_content_id(record: Mapping[str, Any]) -> str | None:
    """A hash of the contents of a finished stage. None for a record of an earlier version, which has no content hashes."""
    if "files" not in record:
        return None
    return hash_json({name: entry["sha256"] for name, entry in record["files"].items()})


@dataclass(frozen=True, slots=True)
class SharedStore:
    """The shared stages in the folder `root`, `NAME-INPUTS-FINGERPRINT/` each; INPUTS is a hash of the inputs' contents."""

    root: Path

    def find(self, recipe: Recipe, inputs: Mapping[str, str | None]) -> Path | None:
        """The folder of the stage with this recipe and these content ids of its inputs. None if there is none."""
        key = _build_key(recipe, inputs)
        records = [] if key is None else sorted(self.root.glob(f"{STAGES_DIR}/*-{key}/{RECORD_FILE}"))
        return records[0].parent if records else None

    def add(self, artifact: Artifact, recipe: Recipe, inputs: Mapping[str, str | None]) -> None:
        """Adds a finished stage of a run, unless the store has it already or another process is about to add it."""
        key = _build_key(recipe, inputs)
        if key is None or self.find(recipe, inputs) is not None:
            return
        with suppress(filelock.Timeout), self._lock(key, None):
            self._add(artifact, key)

    def get_or_create(
        self,
        store: Store,
        name: str,
        recipe: Recipe,
        inputs: Mapping[str, str | None],
        make: Callable[[Draft], Mapping[str, Any]],
        notify: Callable[[str], None],
    ) -> Artifact:
        """Copies the stage to a run's `store`, or creates it there and adds it. One process at a time creates a stage."""
        key = _build_key(recipe, inputs)
        if key is None:
            return store.get_or_create(name, recipe, make)
        with self._lock(key, lambda owner: notify(f"{name}: waiting for {owner}, which runs the same stage")):
            if self.find(recipe, inputs) is not None:
                return self.copy_to(store, name, recipe, inputs)
            artifact = store.get_or_create(name, recipe, make)
            self._add(artifact, key)
        return artifact

    def copy_to(self, store: Store, name: str, recipe: Recipe, inputs: Mapping[str, str | None]) -> Artifact:
        """Copies a shared stage to a run. Raises `StoreError` if the store does not have it, or if it is damaged."""
        source = self.find(recipe, inputs)
        if source is None:
            raise StoreError(f"{self.root} has no stage {name} any more; run the same command again to create it")
        folder = store.folder(name, recipe)
        _copy_folder(open_artifact(source), folder, store.root / INCOMING_DIR)
        return open_artifact(folder)

    def _add(self, artifact: Artifact, key: str) -> None:
        name = artifact.folder.name.rpartition("-")[0]
        folder = self.root / STAGES_DIR / f"{name}-{key}"
        if not (folder / RECORD_FILE).exists():
            _copy_folder(artifact, folder, self.root / INCOMING_DIR, _OTHER_STORE)

    @contextmanager
    def _lock(self, key: str, on_wait: Callable[[str], None] | None) -> Iterator[None]:
        """Locks a stage of the store; a killed process releases its locks.

        If another process holds the lock, calls `on_wait` with a description of it and waits. Without `on_wait`, raises
        `filelock.Timeout` instead.
        """
        lock, owner = filelock.FileLock(self.root / LOCKS_DIR / f"{key}.lock"), self.root / LOCKS_DIR / f"{key}.json"
        with translate_os_errors(self.root, _OTHER_STORE):
            owner.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                if on_wait is None:
                    raise
                on_wait(_describe_owner(owner))
                lock.acquire(poll_interval=_POLL_SECONDS)
        try:
            atomic_write_text(owner, canonical_json({"process": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            with suppress(OSError):
                owner.unlink(missing_ok=True)
            lock.release()


def _build_key(recipe: Recipe, inputs: Mapping[str, str | None]) -> str | None:
    """None if the contents of an input are unknown."""
    if None in inputs.values():
        return None
    return f"{hash_json(dict(inputs))[:12]}-{recipe.fingerprint}"


def _copy_folder(artifact: Artifact, folder: Path, incoming: Path, remedy: str = OTHER_FOLDER) -> None:
    """Copies a finished stage to `folder`, which gets its name when it is complete and replaces an unfinished draft."""
    draft = incoming / folder.name
    with translate_os_errors(folder, remedy):
        shutil.rmtree(draft, ignore_errors=True)
        for name in (*artifact.record["files"], RECORD_FILE):
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(artifact.folder / name, target)
        flush_to_disk([draft / RECORD_FILE])
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
        flush_to_disk([folder / RECORD_FILE, folder])


def _link_or_copy(source: Path, target: Path) -> None:
    """Finished files are never modified in place, so two folders can share them."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy2(source, target)
        flush_to_disk([target])


def _describe_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
