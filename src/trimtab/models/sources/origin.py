"""The `origin.json` of converted weights: what they were made from, and the content hashes of the files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError
from trimtab.models.sources.local_dir import read_json_object
from trimtab.storage.atomic import apply_umask, flush_to_disk
from trimtab.storage.content_hashes import compute_file_entry, find_file_problem

ORIGIN_FILE = "origin.json"
LICENSE_NOT_STATED = "not stated"


def write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Records what the weights in the folder were made from, after its files are on the disk."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != ORIGIN_FILE)
    for file in files:
        apply_umask(file)
    flush_to_disk(files)
    document = {**origin, "files": {file.name: compute_file_entry(file) for file in files}}
    (folder / ORIGIN_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    flush_to_disk([folder / ORIGIN_FILE])


def require_intact_weights(folder: Path, identity: Mapping[str, Any], notify: Callable[[str], None]) -> None:
    """Raises `ModelError` unless the folder was made from `identity`, and its files are as recorded.

    An earlier version recorded no content hashes. They are then recorded now.
    """
    remedy = f"delete the folder {folder} and run again, which converts the weights again"
    if not (folder / ORIGIN_FILE).is_file():
        raise ModelError(f"{folder} has no {ORIGIN_FILE}, so its weights may be incomplete; {remedy}")
    origin = read_json_object(folder / ORIGIN_FILE)
    for name, expected in identity.items():
        if origin.get(name) != expected:
            raise ModelError(f"{folder / ORIGIN_FILE}: {name} is {origin.get(name)!r}, expected {expected!r}; {remedy}")
    entries = origin.get("files")
    if entries is None:
        with contextlib.suppress(OSError):  # a cache that cannot be written is still usable
            write_origin(folder, origin)
            notify(f"recorded the content hashes of {folder}, which an earlier version converted")
        return
    for name, entry in entries.items():
        try:
            problem = find_file_problem(folder / Path(name).name, entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{folder / ORIGIN_FILE}: files: {name!r} is not valid ({error}); {remedy}") from error
        if problem is not None:
            raise ModelError(f"{folder / name} is damaged ({problem}); {remedy}")


def read_license(folder: Path) -> str:
    """The license recorded when the folder was converted, or `not stated`."""
    if not (folder / ORIGIN_FILE).is_file():
        return LICENSE_NOT_STATED
    return str(read_json_object(folder / ORIGIN_FILE).get("license", LICENSE_NOT_STATED))
