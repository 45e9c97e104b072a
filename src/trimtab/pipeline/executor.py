"""Runs a study: executes its stages in order, each one once, and writes the run index."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError, StudyError
from trimtab.pipeline.distributed import heartbeat, run_worker
from trimtab.pipeline.label_files import write_label_files
from trimtab.pipeline.lora_targets import preflight_lora_targets
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.plan.index import build_run_index
from trimtab.pipeline.plan.model import Plan
from trimtab.pipeline.preflight import (
    has_human_labels_on_unlabeled,
    prefetch_models,
    preflight_engines,
    preflight_max_length,
    preflight_scorers,
    preflight_trainer_arguments,
    require_labeled_pairs,
)
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_errors import describe_error, name_stage_in_errors
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.pipeline.stored_study import save_study
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.shared_store import SharedStore

# Called with the stage's number, the number of stages and the stage's name.
OnStageStart = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The folder of a run, the stage folders that were created and those that were reused.

    `failed_measurements` are the errors of measurements that failed, by stage name; training does not depend on them.
    """

    folder: Path
    created: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float
    failed_measurements: Mapping[str, str] = field(default_factory=dict)


def run_study(
    study: Study, folder: Path, runtime: Runtime, on_stage_start: OnStageStart, shared: SharedStore | None = None
) -> RunResult:
    """Executes the stages that are not finished yet and writes the run index.

    A run that was killed resumes. Stages in `shared` are copied instead of executed, and new ones are added to it. Raises
    `StoreError` if another run holds the lock of the folder.
    """
    store = Store(folder)
    if shared is not None and runtime.world_size > 1:
        raise StudyError("--store: a study that several processes train cannot share stages; run it without --store")
    start = time.monotonic()
    if not runtime.is_main_process:
        run_worker(study, store, runtime)
        return RunResult(folder=folder, created=(), reused=(), seconds=0.0)
    with store.lock(), heartbeat(folder) if runtime.world_size > 1 else nullcontext():
        created, artifacts, failed = _run_main_process(study, store, runtime, on_stage_start, shared)
    reused = tuple(name for name in (artifact.folder.name for artifact in artifacts.values()) if name not in created)
    return RunResult(
        folder=folder,
        created=tuple(created),
        reused=reused,
        seconds=time.monotonic() - start,
        failed_measurements=failed,
    )


def _run_main_process(
    study: Study, store: Store, runtime: Runtime, on_stage_start: OnStageStart, shared: SharedStore | None
) -> tuple[list[str], dict[str, Artifact], dict[str, str]]:
    """Returns the names of the created folders, all artifacts by fingerprint, and the errors of failed measurements."""
    preflight_trainer_arguments(runtime)
    prefetch_models(study, runtime)
    preflight_max_length(study, runtime)
    preflight_scorers(study, runtime)
    artifacts: dict[str, Artifact] = {}
    created: list[str] = []
    failed: dict[str, str] = {}
    plan = build_plan(study)
    preflight_lora_targets(study, plan)

    def update_index(*names: str, label_files: Mapping[str, str] | None = None) -> None:
        """Lists every stage from the start, so that a report can be written of a run that was killed."""
        created.extend(names)
        index = build_run_index(study, plan, store, created, failed)
        index.model_copy(update={"label_files": label_files or {}}).save(store.root)

    save_study(study, store.root)
    update_index()
    execute_stages([plan.split], store, runtime, artifacts, on_stage_start, update_index, shared=shared)
    split = artifacts[plan.split.fingerprint]
    plan = build_plan(study, human_on_unlabeled=has_human_labels_on_unlabeled(split))
    require_labeled_pairs(plan, split)
    preflight_engines(study, plan, store, runtime)
    update_index()
    execute_stages(plan.stages, store, runtime, artifacts, on_stage_start, update_index, plan, failed, shared)
    update_index()
    update_index(label_files=write_label_files(plan, artifacts, store.root))
    return created, artifacts, failed


def execute_stages(
    stages: Sequence[Stage],
    store: Store,
    runtime: Runtime,
    artifacts: dict[str, Artifact],
    on_stage_start: OnStageStart,
    on_stage_created: Callable[[str], None] = lambda _: None,
    plan: Plan | None = None,
    failed: dict[str, str] | None = None,
    shared: SharedStore | None = None,
) -> None:
    """Executes the stages that are not finished and adds all artifacts to `artifacts`, by fingerprint.

    Stages that depend on deleted labels are executed again. `on_stage_created` receives each new folder name. With a `plan`, a
    failed measurement does not stop the others: its error is added to `failed`, and stages that read its results are left out.
    Stages in `shared` are copied, and those that it does not have are added to it.
    """
    source = StageCache(store, shared, artifacts, runtime)
    for stage in find_stale_stages(stages, store):
        runtime.notify(f"{stage.name} depends on labels that no longer exist; regenerating it")
        store.discard(stage.name, stage.recipe)
    required = {stage.fingerprint for stage in (plan.training_stages if plan else stages)}
    arms = plan.arms_by_stage if plan else {}
    for number, stage in enumerate(stages, 1):
        if stage.fingerprint in artifacts or not all(
            each.fingerprint in artifacts for each in stage.input_stages.values()
        ):
            continue
        artifact = source.find(stage)
        if artifact is None:
            on_stage_start(number, len(stages), stage.name)
            try:
                with name_stage_in_errors(stage, arms.get(stage.fingerprint, "")):
                    artifact = source.get_or_create(stage)
            except Exception as error:
                if failed is None or stage.fingerprint in required or isinstance(error, StoreError):
                    raise
                failed[stage.name] = describe_error(error)
                runtime.notify(f"{failed[stage.name]}; the study continues without this measurement")
                continue
            finally:
                gc.collect()  # a trainer and its model form a reference cycle, and the next stage needs the memory
            on_stage_created(artifact.folder.name)
        artifacts[stage.fingerprint] = artifact
