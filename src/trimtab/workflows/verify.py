"""Compares everything that a run folder stores with its recorded hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.pipeline.completion_cache import COMPLETIONS_DIR
from trimtab.pipeline.label_files import get_label_file
from trimtab.pipeline.run_index import RUN_INDEX_FILE, load_run_index
from trimtab.pipeline.stored_study import load_stored_study
from trimtab.storage.artifacts import STAGES_DIR
from trimtab.storage.content_hashes import hash_file
from trimtab.storage.line_checksums import decode_line
from trimtab.storage.readers import translate_read_errors
from trimtab.storage.record import (
    RECORD_FILE,
    describe_remedy,
    has_content_hashes,
    iter_file_problems,
    read_record,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a folder stores, and a sentence for each problem. `without_hashes` are stages of an earlier version."""

    stages: int = 0
    files: int = 0
    size: int = 0
    unfinished: int = 0
    without_hashes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def verify_run(folder: Path) -> Verification:
    """Reads every stored file completely. Raises `StoreError` if the folder holds no stages."""
    stages = sorted(path for path in (folder / STAGES_DIR).glob("*") if path.is_dir())
    if not stages:
        raise StoreError(f"{folder} holds no stages of a run; give the folder of a run, such as runs/quickstart")
    finished = [stage for stage in stages if (stage / RECORD_FILE).exists()]
    problems: list[str] = []
    without_hashes: list[str] = []
    num_files = size = 0
    for stage in finished:
        try:
            record = read_record(stage)
        except StoreError as error:
            problems.append(str(error))
            continue
        if not has_content_hashes(record):
            without_hashes.append(stage.name)
        found = iter_file_problems(stage, record, full=True)
        problems += [f"{path} is damaged ({reason}); {describe_remedy(stage)}" for path, reason in found]
        num_files += len(record.get("files", {}))
        size += sum(entry["size"] for entry in record.get("files", {}).values())
    return Verification(
        stages=len(finished),
        files=num_files,
        size=size,
        unfinished=len(stages) - len(finished),
        without_hashes=tuple(without_hashes),
        problems=(*problems, *_find_settings_problems(folder), *_find_completion_problems(folder)),
    )


def _find_settings_problems(folder: Path) -> Iterator[str]:
    """Problems of `run.json`, `study.yaml` and `labels/`. Folders of labels without a study have none of them."""
    if not (folder / RUN_INDEX_FILE).exists():
        return
    try:
        index = load_run_index(folder)
        yield from _find_label_problems(folder, index.label_files)
        load_stored_study(folder, index.study_sha256)
    except StoreError as error:
        yield str(error)


def _find_label_problems(folder: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    for arm, expected in hashes.items():
        path = get_label_file(folder, arm)
        if not path.is_file() or hash_file(path) != expected:
            reason = "was changed after the run wrote it" if path.is_file() else "was deleted"
            yield f"{path} {reason}; run the study again, which writes the file"


def _find_completion_problems(folder: Path) -> Iterator[str]:
    for path in sorted((folder / COMPLETIONS_DIR).glob("*.jsonl")):
        with translate_read_errors(path, "delete it, and its completions are requested again"):
            lines = path.read_bytes().splitlines()
        damaged = sum(_is_damaged(line, path.name) for line in lines)
        if damaged:
            yield f"{path}: {damaged} of {len(lines)} lines are damaged; their completions are requested again if needed"


def _is_damaged(line: bytes, file_name: str) -> bool:
    try:
        decode_line(line, file_name)
    except ValueError:
        return True
    return False
