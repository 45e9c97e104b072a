"""Temporary folders for large files. Those of killed processes are deleted when the next one is created."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

LOCK_FILE = ".lock"


@contextmanager
def create_temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder in the folder of temporary files, deleted at the end.

    First deletes the folders with this prefix that no process uses. A process holds a lock in its folder, which the operating
    system releases if the process is killed.
    """
    delete_unused_folders(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with filelock.FileLock(folder / LOCK_FILE):
            yield folder


def delete_unused_folders(prefix: str) -> None:
    """A folder without a lock file is being created; it stays."""
    for lock in Path(tempfile.gettempdir()).glob(f"{prefix}*/{LOCK_FILE}"):
        try:
            with filelock.FileLock(lock, timeout=0):
                pass
        except (filelock.Timeout, OSError):
            continue  # in use, another user's, or just deleted
        shutil.rmtree(lock.parent, ignore_errors=True)
