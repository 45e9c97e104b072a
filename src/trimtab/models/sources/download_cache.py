"""The cache on disk: where it is, whether there is room, and the hashes of large files so that they are read once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from trimtab.errors import ModelError

MIN_CACHED_FILE_BYTES = 8 * 2**20  # bytes; smaller files are read again faster than they are looked up
MTIME_SETTLE_NS = 2 * 10**9  # a file written within the clock's grain of its own hash could change and keep its time


def get_cache_dir() -> Path:
    """The folder named by the environment variable TRIMTAB_CACHE, or the user's cache folder for `trimtab`."""
    named = os.environ.get("TRIMTAB_CACHE")
    return Path(named).expanduser() if named else user_cache_path("trimtab")


def get_models_dir() -> Path:
    """Where converted weights live; made if it is not there."""
    folder = get_cache_dir() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot make the cache folder {folder}: {error}; set TRIMTAB_CACHE to one you own") from error
    return folder


def require_disk_space(folder: Path, needed: int, what: str) -> None:
    """Raise `ModelError` unless the disk that holds `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"no space for {what}: {folder} needs {needed:,} bytes free and has {free:,}; "
            "make room, or set TRIMTAB_CACHE to a folder on another disk"
        )


def compute_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compute_sha256_cached(path: Path) -> str:
    """Like `sha256_of`, but a large file is read only once: the hash is kept by path, size and time of change."""
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
        _store_hash(str(real), [*stamp, digest])
    return digest


def _hash_cache_path() -> Path:
    return get_models_dir().parent / "hashes.json"


def _load_hash_cache() -> dict[str, list[int | str]]:
    try:
        entries = json.loads(_hash_cache_path().read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _store_hash(path: str, entry: list[int | str]) -> None:
    file = _hash_cache_path()
    with FileLock(file.with_suffix(".lock")):
        entries = {known: stamp for known, stamp in _load_hash_cache().items() if Path(known).exists()}
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(entries | {path: entry}, indent=1), encoding="utf-8")
        partial.replace(file)
