"""Content hashes of stored files: a complete one, and for large files a fast one over samples.

A file whose size and modification time are as recorded is compared by its samples if it is large. All other files are
compared completely, so an ordinary modification of a large file is detected as well.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

LARGE_FILE_BYTES = 8 * 2**20
SAMPLE_BYTES = 2**16
NUM_SAMPLES = 64
# A file can change twice within the clock's resolution and keep its timestamp.
_MTIME_SETTLE_NS = 2 * 10**9


def compute_file_entry(path: Path) -> dict[str, Any]:
    """The entry of a file in a record: size, modification time, SHA-256, and the hash of its samples if it is large."""
    stat = path.stat()
    entry = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": hash_file(path)}
    return {**entry, "samples": _hash_samples(path)} if stat.st_size > LARGE_FILE_BYTES else entry


def find_file_problem(path: Path, entry: Mapping[str, Any], *, full: bool = False) -> str | None:
    """What differs between the file and its entry, or None. `full` reads large files completely."""
    try:
        stat = path.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.st_size != entry["size"]:
        return f"has {stat.st_size:,} bytes, expected {entry['size']:,}"
    by_samples = not full and "samples" in entry and stat.st_mtime_ns == entry["mtime_ns"]
    expected = entry["samples" if by_samples else "sha256"]
    return None if _hash_cached(path, stat, by_samples) == expected else "was changed after the stage finished"


def hash_file(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_samples(path: Path) -> str:
    """Hex SHA-256 over blocks at equal distances, the first and the last block included."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for index in range(NUM_SAMPLES):
            file.seek((size - SAMPLE_BYTES) * index // (NUM_SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _hash_cached(path: Path, stat: os.stat_result, by_samples: bool) -> str:
    """Hashes a file, once per process and state of the file: a run opens its stages many times."""
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _MTIME_SETTLE_NS:
        return _hash_samples(path) if by_samples else hash_file(path)
    return _hash_state(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, by_samples)


@lru_cache(maxsize=65536)
def _hash_state(path: Path, size: int, mtime_ns: int, ctime_ns: int, inode: int, by_samples: bool) -> str:
    del size, mtime_ns, ctime_ns, inode  # they identify the state of the file
    return _hash_samples(path) if by_samples else hash_file(path)
