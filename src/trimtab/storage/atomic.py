"""Atomic file writes, with operating system errors turned into messages that name the folder and the fix."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import StoreError


def atomic_write_text(path: Path, text: str) -> None:
    """Replaces the file's contents completely or not at all."""
    partial = path.with_name(path.name + ".writing")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def atomic_write_array(path: Path, values: NDArray[np.float32]) -> None:
    partial = path.with_name(path.name + ".writing")
    with partial.open("wb") as out:
        np.save(out, values, allow_pickle=False)
    os.replace(partial, path)


def write_output(path: Path, text: str) -> None:
    """Writes a file that the user named, atomically, and creates its folder if necessary.

    Raises `StoreError` if the file cannot be written.
    """
    if path.is_dir():
        raise StoreError(f"cannot write {path}: it is a folder; give the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, text)
    except OSError as error:
        reason = f"{path.parent} is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise StoreError(f"cannot write {path}: {reason}; choose another file") from error


@contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Converts operating system errors to `StoreError` with the folder and the fix."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left for {folder}: free some space, or use --out on another disk; finished work is saved, "
                "and the same command resumes from there"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise StoreError(f"cannot write {folder}: {error.strerror}; choose another folder with --out") from error
        raise
