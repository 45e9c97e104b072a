"""The cache folder on disk: its location, free space, and hashes of large files so that each is read only once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from trimtab.errors import ModelError

MIN_CACHED_FILE_BYTES = 8 * 2**20  # hashing a smaller file is faster than looking up its hash
MTIME_SETTLE_NS = 2 * 10**9  # a file can change twice within the clock's resolution and keep its timestamp


def get_cache_dir() -> Path:
    """The folder in the environment variable TRIMTAB_CACHE; by default the user's cache folder for `trimtab`."""
    path = os.environ.get("TRIMTAB_CACHE")
    return Path(path).expanduser() if path else user_cache_path("trimtab")


def get_models_dir() -> Path:
    """The folder of converted weights, created if necessary."""
    folder = get_cache_dir() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"cannot create the cache folder {folder}: {error}; set TRIMTAB_CACHE to a writable folder"
        ) from error
    return folder


def require_disk_space(folder: Path, needed: int, what: str) -> None:
    """Raise `ModelError` unless the disk of `folder` has `needed` bytes free. `what` completes the message."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"not enough disk space for {what}: {folder} needs {needed:,} bytes free and has {free:,}; "
            "free some space, or set TRIMTAB_CACHE to a folder on another disk"
        )


def compute_sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compute_sha256_cached(path: Path) -> str:
    """Like `compute_sha256`, but large files are read only once: the hash is cached by path, size and modification time."""
    real = path.resolve()
    stat = real.stat()
    if stat.st_size < MIN_CACHED_FILE_BYTES:
        return compute_sha256(real)
    stamp = [stat.st_size, stat.st_mtime_ns]
    entry = _load_hash_cache().get(str(real))
    if entry is not None and entry[:2] == stamp:
        return str(entry[2])
    digest = compute_sha256(real)
    if time.time_ns() - stat.st_mtime_ns > MTIME_SETTLE_NS:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            _store_hash(str(real), [*stamp, digest])
    return digest


def _hash_cache_path() -> Path:
    return get_models_dir().parent / "hashes.json"


def _load_hash_cache() -> dict[str, list[int | str]]:
    try:
        entries = json.loads(_hash_cache_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {path: entry[:3] for path, entry in entries.items() if isinstance(entry, list) and _is_intact(path, entry)}


def _is_intact(path: str, entry: list[int | str]) -> bool:
    """Whether the last value is the checksum of the others: a damaged hash would be the identity of another model."""
    return len(entry) == 4 and entry[3] == _compute_entry_checksum(path, entry[:3])


def _compute_entry_checksum(path: str, values: list[int | str]) -> str:
    return hashlib.sha256(json.dumps([path, *values]).encode()).hexdigest()[:16]


def _store_hash(path: str, entry: list[int | str]) -> None:
    file = _hash_cache_path()
    with FileLock(file.with_suffix(".lock")):
        entries = {name: cached for name, cached in _load_hash_cache().items() if Path(name).exists()} | {path: entry}
        checked = {name: [*values, _compute_entry_checksum(name, values)] for name, values in entries.items()}
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(checked, indent=1), encoding="utf-8")
        partial.replace(file)
