"""Checkpoints of an unfinished training run: which one is complete, and whether its files are as they were written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.content_hashes import compute_file_entry, find_file_problem
from trimtab.storage.readers import read_json_document, translate_read_errors

# Written last: a checkpoint without it is incomplete.
_HASHES_FILE = "content_hashes.json"


def record_checkpoint(folder: Path, limit: int | None) -> None:
    """Records the content hashes of a checkpoint, and deletes all but the latest `limit` complete ones; None: no limit.

    Other processes may still write the states of their generators.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("rng_state_"))
    atomic_write_text(folder / _HASHES_FILE, json.dumps({path.name: compute_file_entry(path) for path in files}))
    for old in _list_complete(folder.parent)[:-limit] if limit else ():
        shutil.rmtree(old)


def find_latest_checkpoint(folder: Path) -> str | None:
    """The latest complete checkpoint, or None. Raises `StoreError` if it is damaged."""
    complete = _list_complete(folder)
    if not complete:
        return None
    latest = complete[-1]
    hashes, remedy = latest / _HASHES_FILE, f"delete {latest} and run again; training starts over without it"
    with translate_read_errors(hashes, remedy):
        entries = read_json_document(hashes, remedy)
        problems = {name: find_file_problem(latest / Path(name).name, entry) for name, entry in entries.items()}
    for name, problem in problems.items():
        if problem is not None:
            raise StoreError(f"{latest / name} is damaged ({problem}); {remedy}")
    return str(latest)


def _list_complete(folder: Path) -> list[Path]:
    """The complete checkpoints in the order of their steps."""
    complete = (path for path in folder.glob("checkpoint-*") if (path / _HASHES_FILE).is_file())
    return sorted(complete, key=lambda path: int(path.name.split("-")[1]))
