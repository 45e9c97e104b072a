"""Runs a study: checks it, executes its stages, each one once, and writes the run index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import NoLabelsError, StoreError, StudyError
from trimtab.pipeline.distributed import run_worker
from trimtab.pipeline.heartbeat import Heartbeat, heartbeat, no_heartbeat
from trimtab.pipeline.label_files import write_label_files
from trimtab.pipeline.lora_targets import preflight_lora_targets
from trimtab.pipeline.plan import Plan, build_plan
from trimtab.pipeline.plan.index import build_run_index
from trimtab.pipeline.preflight import (
    has_human_labels_on_unlabeled,
    prefetch_models,
    preflight_engines,
    preflight_max_length,
    preflight_scorers,
    preflight_trainer_arguments,
    require_labeled_pairs,
)
from trimtab.pipeline.quantization_checks import preflight_quantization
from trimtab.pipeline.ray_pool import RayPool, require_ray
from trimtab.pipeline.shard_checks import preflight_sharding
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_errors import describe_error
from trimtab.pipeline.stage_scheduler import OnStageStart, StageScheduler, discard_stale_stages
from trimtab.pipeline.stored_study import save_study
from trimtab.pipeline.worker_processes import WorkerProcesses
from trimtab.pipeline.worker_protocol import WorkerPool
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.shared_store import SharedStore
from trimtab.storage.stage_locks import StageLocks


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The folder of a run, the stage folders that were created and those that were reused.

    `failed_stages` are the errors of stages that failed without stopping the run, by stage name: measurements, which training
    does not depend on, and stages of an arm that has no labels.
    """

    folder: Path
    created: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float
    failed_stages: Mapping[str, str] = field(default_factory=dict)


def run_study(
    study: Study,
    folder: Path,
    runtime: Runtime,
    on_stage_start: OnStageStart,
    shared: SharedStore | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
) -> RunResult:
    """Executes the stages that are not finished yet and writes the run index.

    A run that was killed resumes. Stages in `shared` are copied instead of executed, and new ones are added to it. `workers`
    processes, this one included (by default only this one), execute independent stages at the same time; on a CPU they share
    the cores, otherwise they take GPUs in turn. With `ray_address`, `workers` actors of that Ray cluster (by default as many as
    it has room for) do so, next to this process. Raises `StoreError` if another run holds the lock of the folder, and
    `ClusterError` if the cluster cannot take part.
    """
    if workers is not None and workers < 1:
        raise StudyError(f"workers: {workers}, expected 1 or more")
    _refuse_options_in_distributed_training(runtime, shared, workers, ray_address)
    if ray_address is not None:
        require_ray(ray_address)
    store = Store(folder)
    start = time.monotonic()
    if not runtime.is_main_process:
        run_worker(study, store, runtime)
        return RunResult(folder=folder, created=(), reused=(), seconds=0.0)
    pool: WorkerPool = (
        WorkerProcesses(count=(workers or 1) - 1, runtime=runtime, on_stage_start=on_stage_start)
        if ray_address is None
        else RayPool(address=ray_address, count=workers, runtime=runtime, on_stage_start=on_stage_start)
    )
    with store.lock(), (heartbeat if runtime.world_size > 1 else no_heartbeat)(folder) as signal:
        created, artifacts, failed = _run_main_process(study, store, runtime, on_stage_start, shared, pool, signal)
    reused = tuple(name for name in (artifact.folder.name for artifact in artifacts.values()) if name not in created)
    return RunResult(
        folder=folder,
        created=tuple(created),
        reused=reused,
        seconds=time.monotonic() - start,
        failed_stages=failed,
    )


def _preflight_trainings(study: Study, plan: Plan, runtime: Runtime) -> None:
    preflight_lora_targets(study, plan)
    preflight_sharding(study, plan, runtime)
    preflight_quantization(study, plan)


def _run_main_process(
    study: Study,
    store: Store,
    runtime: Runtime,
    on_stage_start: OnStageStart,
    shared: SharedStore | None,
    pool: WorkerPool,
    signal: Heartbeat | None,
) -> tuple[list[str], dict[str, Artifact], dict[str, str]]:
    """Returns the names of the created folders, all artifacts by fingerprint, and the errors of failed stages."""
    preflight_trainer_arguments(runtime)
    prefetch_models(study, runtime)
    preflight_max_length(study, runtime)
    preflight_scorers(study, runtime)
    source = StageCache(store, shared, {}, runtime)
    created, failed = pool.created, dict[str, str]()
    plan = build_plan(study)
    _preflight_trainings(study, plan, runtime)

    def update_index(name: str = "", label_files: Mapping[str, str] | None = None) -> None:
        """Lists every stage from the start, so that a report can be written of a run that was killed."""
        created.extend([name] if name else [])
        index = build_run_index(study, plan, store, created, failed)
        index.model_copy(update={"label_files": label_files or {}}).save(store.root)

    def execute(stages: list[Stage], required: set[str], arms: Mapping[str, str]) -> None:
        def record_failure(stage: Stage, error: Exception) -> bool:
            part = "arm" if isinstance(error, NoLabelsError) else "measurement"
            if isinstance(error, StoreError) or (stage.fingerprint in required and part != "arm"):
                return False
            failed[stage.name] = describe_error(error)
            runtime.notify(f"{failed[stage.name]}; the study continues without this {part}")
            return True

        StageScheduler(
            source=source,
            on_stage_start=lambda number, total, name: on_stage_start(number, len(plan.stages), name),
            on_stage_created=update_index,
            on_error=record_failure,
            arms=arms,
            locks=StageLocks(store.root),
            signal=signal,
        ).execute(stages)

    save_study(study, store.root)
    update_index()
    with _running(pool, store, shared):
        execute([plan.split], {plan.split.fingerprint}, {})
        split = source.artifacts[plan.split.fingerprint]
        plan = build_plan(study, human_on_unlabeled=has_human_labels_on_unlabeled(split))
        require_labeled_pairs(plan, split)
        preflight_engines(study, plan, store, runtime)
        discard_stale_stages(plan.stages, store, runtime)
        update_index()
        pool.begin()
        execute(plan.stages, {stage.fingerprint for stage in plan.training_stages}, plan.arms_by_stage)
    update_index(label_files=write_label_files(plan, source.artifacts, store.root))
    return created, source.artifacts, failed


@contextmanager
def _running(pool: WorkerPool, store: Store, shared: SharedStore | None) -> Iterator[None]:
    """Starts the workers, and stops them however the block ends."""
    try:
        pool.start(store.root, shared.root if shared else None)
        yield
    finally:
        pool.stop()


def _refuse_options_in_distributed_training(
    runtime: Runtime, shared: SharedStore | None, workers: int | None, ray_address: str | None
) -> None:
    if runtime.world_size == 1:
        return
    given = {"--store": shared is not None, "--workers": (workers or 1) > 1, "--ray": ray_address is not None}
    for option in (name for name, is_given in given.items() if is_given):
        raise StudyError(f"{option}: not for a study that several processes train; run it without {option}")
