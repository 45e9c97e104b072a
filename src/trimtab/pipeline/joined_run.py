"""Executes stages of a run that another process has started, on this host or on any host that sees its folder.

The processes share nothing but the run folder: each finds finished stages there and locks those that it executes. Only the
process of `trimtab run` writes the run's index, label files and report.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from trimtab.config.study import Study
from trimtab.core.component import validate_settings
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StoreError, StudyError
from trimtab.pipeline.heartbeat import is_trained_by_several_processes
from trimtab.pipeline.plan import Plan, build_plan
from trimtab.pipeline.preflight import has_human_labels_on_unlabeled
from trimtab.pipeline.run_index import RUN_INDEX_FILE, RunIndex, load_run_index
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_errors import describe_error
from trimtab.pipeline.stage_scheduler import OnStageStart, StageScheduler
from trimtab.pipeline.stored_study import STUDY_FILE, hash_study
from trimtab.storage.artifacts import Store
from trimtab.storage.readers import translate_read_errors
from trimtab.storage.shared_store import SharedStore
from trimtab.storage.stage_locks import StageLocks

_POLL_SECONDS = 0.5
# The process of `trimtab run` writes the index in this time after it was started again with other weights or files, and a
# shared file system shows it to other hosts.
INDEX_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Missing:
    """What a run does not have yet, and how long waiting for it can help, in seconds."""

    reason: str
    max_wait: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedWork:
    """The names of the folders that a process created, and the errors of the stages that it could not execute, by name.

    `chunks` is the number of chunks that it computed for stages of other processes.
    """

    created: tuple[str, ...]
    failed: Mapping[str, str]
    chunks: int = 0


def join_run(
    folder: Path,
    runtime: Runtime,
    on_stage_start: OnStageStart,
    shared: SharedStore | None = None,
    *,
    wait_seconds: float,
) -> JoinedWork:
    """Executes all stages of a run that no other process executes, until none is left. A stage that fails is left out.

    In between, it computes chunks of the stages that others execute.

    Waits up to `wait_seconds` until the run has a finished split. Imports the custom components that the study names. Raises
    `StoreError` if the folder then holds no such run, or if another version, other data or other weights would give other
    stages here.
    """
    plan = wait_for_plan(folder, runtime, wait_seconds)
    if shared is not None and not shared.root.is_dir():
        raise StoreError(f"--store {shared.root}: no such folder; give the one that `trimtab run` was started with")
    created: list[str] = []
    failed: dict[str, str] = {}
    chunks: list[int] = []

    def leave_out(stage: Stage, error: Exception) -> bool:
        failed[stage.name] = describe_error(error)
        runtime.notify(f"{failed[stage.name]}; the stage is left to the process of `trimtab run`")
        return True

    StageScheduler(
        source=StageCache(Store(folder), shared, {}, runtime),
        on_stage_start=on_stage_start,
        on_stage_created=created.append,
        on_error=leave_out,
        arms=plan.arms_by_stage,
        locks=StageLocks(folder),
        on_chunks=lambda count, name: chunks.append(count),
    ).execute(plan.stages)
    return JoinedWork(created=tuple(created), failed=failed, chunks=sum(chunks))


def find_plan(study: Study, store: Store) -> Plan | None:
    """The plan of a run, or None if its split, which determines the other stages, is not finished."""
    split = build_plan(study).split
    artifact = store.find(split.name, split.recipe)
    if artifact is None:
        return None
    return build_plan(study, human_on_unlabeled=has_human_labels_on_unlabeled(artifact))


def wait_for_plan(folder: Path, runtime: Runtime, wait_seconds: float) -> Plan:
    """The plan, as soon as the other process has written its study, its split and its index.

    Raises `StoreError` if this host would execute other stages, and if the folder has no such run after `wait_seconds`.
    """
    start = time.monotonic()
    is_waiting = False
    while True:
        plan = _read_plan(folder)
        if isinstance(plan, Plan):
            return plan
        max_wait = min(wait_seconds, plan.max_wait)
        if time.monotonic() >= start + max_wait:
            raise StoreError(f"{plan.reason} (waited {max_wait:g} s)")
        if not is_waiting:
            runtime.notify(f"{plan.reason}; waiting up to {max_wait:g} s")
            is_waiting = True
        time.sleep(_POLL_SECONDS)


def _read_plan(folder: Path) -> Plan | _Missing:
    """The plan, or what is missing. Raises `StoreError` if waiting cannot help."""
    if folder.is_file():
        raise StoreError(f"{folder} is a file; give the folder of a run")
    if not (folder / RUN_INDEX_FILE).is_file():
        return _Missing(f"{folder} holds no run; start it with: trimtab run STUDY.yaml --out {folder}")
    if is_trained_by_several_processes(folder):
        raise StoreError(
            f"{folder} is a run that torchrun started, whose processes train together; no others can join it"
        )
    index = load_run_index(folder)
    if index.trimtab_version != version("trimtab"):
        raise StoreError(
            f"{folder} is a run of Trimtab {index.trimtab_version}, and this is {version('trimtab')}; use one version"
        )
    study = _load_study(folder)
    if hash_study(study) != index.study_sha256:
        return _Missing(f"{folder}: {STUDY_FILE} and {RUN_INDEX_FILE} belong to different runs; run the study again")
    plan = find_plan(study, Store(folder))
    difference = _describe_difference(folder, [build_plan(study).split] if plan is None else plan.stages, index)
    if difference:
        return _Missing(difference, INDEX_SECONDS)
    return plan or _Missing(f"{folder}: the split is not finished")


def _load_study(folder: Path) -> Study:
    path = folder / STUDY_FILE
    with translate_read_errors(path, "run the study again, which writes the file"):
        text = path.read_bytes().decode()
    try:
        return validate_settings(Study, parse_yaml(text, str(path)))
    except StudyError as error:
        raise StoreError(f"{path} cannot be executed here:\n{error}") from error


def _describe_difference(folder: Path, stages: Sequence[Stage], index: RunIndex) -> str:
    """Names the first stage that the run does not have, or is empty."""
    fingerprints = {name.rpartition("-")[2] for name in index.stages}
    other = next((stage.name for stage in stages if stage.fingerprint not in fingerprints), None)
    if other is None:
        return ""
    return (
        f"{folder}: {other} would be another stage here than in the run; use the same files, models and components, and the "
        "working directory of `trimtab run`"
    )
