"""Atomic file writes. A file has its old contents or its new ones, also after a power failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import StoreError
from trimtab.storage.disk_errors import translate_os_errors

# The suffix of a file that is being written; such files are never read.
WRITING_SUFFIX = ".writing"


def atomic_write_text(path: Path, text: str) -> None:
    """Replaces the file's contents completely or not at all. Raises `StoreError` if it cannot be written."""
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: Path, data: bytes, writer: str = "") -> None:
    """`writer` makes the temporary name unique, for a file that several processes can write at the same time."""
    with translate_os_errors(path.parent):
        _replace_contents(path, lambda out: out.write(data), writer)


def atomic_write_stream(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replaces the file with what `write` writes."""
    with translate_os_errors(path.parent):
        _replace_contents(path, write)


def atomic_write_array(path: Path, values: NDArray[np.float32]) -> None:
    with translate_os_errors(path.parent):
        _replace_contents(path, lambda out: np.save(out, values, allow_pickle=False))


def write_output(path: Path, text: str) -> None:
    """Writes a file that the user named, atomically, and creates its folder if necessary.

    Raises `StoreError` if the file cannot be written.
    """
    if path.is_dir():
        raise StoreError(f"cannot write {path}: it is a folder; give the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace_contents(path, lambda out: out.write(text.encode()))
    except OSError as error:
        reason = f"{path.parent} is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise StoreError(f"cannot write {path}: {reason}; choose another file") from error


def flush_to_disk(paths: Iterable[Path]) -> None:
    """Returns when the contents of these files, and their names in their folders, are on the disk."""
    files = list(paths)
    for path in [*files, *dict.fromkeys(file.parent for file in files)]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems cannot synchronize folders
                raise
        finally:
            os.close(descriptor)


def apply_umask(path: Path) -> None:
    """Gives a file the permissions of the umask. Some libraries create files that only their owner can read."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _replace_contents(path: Path, write: Callable[[BinaryIO], object], writer: str = "") -> None:
    partial = path.with_name(path.name + writer + WRITING_SUFFIX)
    try:
        with partial.open("wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # a full disk needs the space, and the first error is the one to report
            partial.unlink(missing_ok=True)
        raise
