"""The record of a stage: its recipe, facts, and the content hashes of its files. It makes a folder complete."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trimtab.errors import StoreError
from trimtab.storage.atomic import WRITING_SUFFIX, apply_umask, atomic_write_text, flush_to_disk
from trimtab.storage.content_hashes import compute_file_entry, find_file_problem
from trimtab.storage.readers import read_json_document, translate_read_errors
from trimtab.storage.recipe import hash_json

RECORD_FILE = "record.json"
ELAPSED_FILE = "elapsed.json"
REGENERATED_FILE = "regenerated_at.json"
PARTIAL_SUFFIX = ".part"
CHECKPOINT_PREFIX = "checkpoint-"
# Where experiment trackers write; they may still write when the stage is finished.
TRACKER_DIR = "runs"
# Loading a model reads every file of these folders that has a known name.
MODEL_DIRS = ("adapter", "model")

_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "stage": str,
    "version": int,
    "fingerprint": str,
    "settings": dict,
    "inputs": dict,
    "finished_at": str,
    "seconds": (int, float),
    "facts": dict,
}


def describe_remedy(folder: Path) -> str:
    return f"delete {folder} and run again"


def write_record(folder: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Writes and returns the record, with the content hashes of the folder's files, which are on the disk before it is.

    `files` and `checksum` in the fields, from an earlier record, are replaced.
    """
    paths = [folder / name for name in _list_result_files(folder)]
    for path in paths:
        apply_umask(path)
    flush_to_disk(paths)
    files = {path.relative_to(folder).as_posix(): compute_file_entry(path) for path in paths}
    # as it will be read: JSON has no tuples, and its keys are text
    record: dict[str, Any] = json.loads(json.dumps({**fields, "files": files}, ensure_ascii=False, allow_nan=False))
    record.pop("checksum", None)
    record["checksum"] = hash_json(record)
    atomic_write_text(folder / RECORD_FILE, json.dumps(record, indent=1, ensure_ascii=False))
    flush_to_disk([folder / RECORD_FILE])
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a folder. Raises `StoreError` if the folder is not finished, or if its record is damaged."""
    path, remedy = folder / RECORD_FILE, describe_remedy(folder)
    if not path.exists():
        raise StoreError(f"{folder} is not finished (no {RECORD_FILE}); run the study again to finish it")
    record = read_json_document(path, remedy)
    with translate_read_errors(path, remedy):
        problem = _find_record_problem(record) or _find_name_problem(folder, record)
    if problem is not None:
        raise StoreError(f"{path} is damaged ({problem}); {remedy}")
    return dict(record)


def has_content_hashes(record: Mapping[str, Any]) -> bool:
    """Whether the files can be checked. Records of an earlier version have no hashes."""
    return "files" in record


def iter_file_problems(folder: Path, record: Mapping[str, Any], *, full: bool = False) -> Iterator[tuple[Path, str]]:
    """Files that differ from the record, each with the reason. `full` reads large files completely."""
    files = record.get("files", {})
    for name, entry in files.items():
        problem = find_file_problem(folder / name, entry, full=full)
        if problem is not None:
            yield folder / name, problem
    if has_content_hashes(record):
        for name in _list_result_files(folder):
            if name not in files and PurePosixPath(name).parts[0] in MODEL_DIRS:
                yield folder / name, "was added after the stage finished"


def _list_result_files(folder: Path) -> list[str]:
    """The paths, relative to the folder, of the files that a stage leaves in its folder."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not _is_temporary(path))


def _is_temporary(path: Path) -> bool:
    top = path.parts[0]
    return (
        path.as_posix() in (RECORD_FILE, ELAPSED_FILE)
        or path.suffix in (PARTIAL_SUFFIX, WRITING_SUFFIX)
        or top.startswith(CHECKPOINT_PREFIX)
        or top == TRACKER_DIR
        or path.name.startswith(".")
    )


def _find_record_problem(record: Any) -> str | None:
    if not isinstance(record, dict):
        return "not a mapping"
    for name, kind in _FIELDS.items():
        if not isinstance(record.get(name), kind) or isinstance(record[name], bool):
            return f"{name} is missing or not valid"
    checksum = record.get("checksum")
    if ("files" in record) != (checksum is not None):
        return "it has content hashes or a checksum, but not both"
    if checksum is not None and checksum != hash_json({key: record[key] for key in record if key != "checksum"}):
        return "its checksum does not match"
    return next((f"files: {name!r} is not valid" for name in record.get("files", {}) if _is_outside(name)), None)


def _find_name_problem(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Results are found by the fingerprint in the name of their folder."""
    fingerprint = folder.name.rpartition("-")[2]
    is_other = len(fingerprint) == len(record["fingerprint"]) and fingerprint != record["fingerprint"]
    return f"it belongs to a folder named …-{record['fingerprint']}" if is_other else None


def _is_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts
