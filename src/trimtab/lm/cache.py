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

REMEMBERED_FROM = 8 * 2**20  # bytes; smaller files are read again faster than they are looked up
SETTLED_NS = 2 * 10**9  # a file written within the clock's grain of its own hash could change and keep its time


def cache_folder() -> Path:
    """The folder named by the environment variable TRIMTAB_CACHE, or the user's cache folder for `trimtab`."""
    named = os.environ.get("TRIMTAB_CACHE")
    return Path(named).expanduser() if named else user_cache_path("trimtab")


def models_folder() -> Path:
    """Where converted weights live; made if it is not there."""
    folder = cache_folder() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot make the cache folder {folder}: {error}; set TRIMTAB_CACHE to one you own") from error
    return folder


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise `ModelError` unless the disk that holds `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"no space for {what}: {folder} needs {needed:,} bytes free and has {free:,}; "
            "make room, or set TRIMTAB_CACHE to a folder on another disk"
        )


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Like `sha256_of`, but a large file is read only once: the hash is kept by path, size and time of change."""
    real = path.resolve()
    stat = real.stat()
    if stat.st_size < REMEMBERED_FROM:
        return sha256_of(real)
    stamp = [stat.st_size, stat.st_mtime_ns]
    entry = _remembered().get(str(real))
    if entry is not None and entry[:2] == stamp:
        return str(entry[2])
    digest = sha256_of(real)
    if time.time_ns() - stat.st_mtime_ns > SETTLED_NS:
        _remember(str(real), [*stamp, digest])
    return digest


def _hashes_file() -> Path:
    return models_folder().parent / "hashes.json"


def _remembered() -> dict[str, list[int | str]]:
    try:
        entries = json.loads(_hashes_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _remember(path: str, entry: list[int | str]) -> None:
    file = _hashes_file()
    with FileLock(file.with_suffix(".lock")):
        entries = {known: stamp for known, stamp in _remembered().items() if Path(known).exists()}
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(entries | {path: entry}, indent=1), encoding="utf-8")
        partial.replace(file)
