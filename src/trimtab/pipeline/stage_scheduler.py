"""Executes the stages of a plan that are not finished, each one once, alone or next to other processes of the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.pipeline.chunk_sharing import ChunkSharing
from trimtab.pipeline.engine_resources import ENGINE_PREFIX
from trimtab.pipeline.heartbeat import Heartbeat
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_errors import name_stage_in_errors
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.chunks import wait_for_claimed_chunks
from trimtab.storage.recipe import hash_json
from trimtab.storage.stage_locks import StageLocks

IDLE_SECONDS = 0.2

# Called with the stage's number, the number of stages and the stage's name.
OnStageStart = Callable[[int, int, str], None]
# Called with a stage and its error; whether to go on without the stage.
OnStageError = Callable[[Stage, Exception], bool]


@dataclass(frozen=True, kw_only=True)
class StageScheduler:
    """Executes stages in the order of the plan, as soon as their inputs are finished.

    While other processes execute all stages that could be next, it computes chunks for them, and reports them to `on_chunks`.
    All artifacts are added to those of `source`, by fingerprint. `locks` are set if other processes execute stages of the
    same run. `arms` are the names of the arms for error messages, by fingerprint. `on_stage_created` receives the name of each
    new folder. An error is raised unless `on_error` returns True; then the stage and all stages that need it are left out.
    `signal` is set if other processes train together with this one: it tells them which stage is executed.
    """

    source: StageCache
    on_stage_start: OnStageStart
    on_stage_created: Callable[[str], None] = lambda name: None
    on_error: OnStageError = lambda stage, error: False
    arms: Mapping[str, str] = field(default_factory=dict)
    locks: StageLocks | None = None
    on_chunks: Callable[[int, str], None] = lambda count, name: None
    signal: Heartbeat | None = None

    def execute(self, stages: Sequence[Stage]) -> None:
        """`stages` are in topological order."""
        artifacts = self.source.artifacts
        pending = {number: stage for number, stage in enumerate(stages, 1) if stage.fingerprint not in artifacts}
        sharing = None if self.locks is None else ChunkSharing(self.source, self._is_held_by_another, self.on_chunks)
        while pending:
            expected = {stage.fingerprint for stage in pending.values()} | artifacts.keys()
            for number, stage in pending.items():
                is_possible = _list_inputs(stage) <= expected
                if not is_possible or (self._is_ready(stage) and self._finish(number, len(stages), stage)):
                    del pending[number]
                    break
            else:  # other processes execute all stages that could be next
                ready = [stage for stage in pending.values() if self._is_ready(stage)]
                if sharing is None or not any(sharing.compute_chunks(stage) for stage in ready):
                    time.sleep(IDLE_SECONDS)

    def _is_held_by_another(self, stage: Stage) -> bool:
        return self.locks is not None and self.locks.is_held(stage.fingerprint)

    def _is_ready(self, stage: Stage) -> bool:
        return _list_inputs(stage) <= self.source.artifacts.keys()

    def _finish(self, number: int, total: int, stage: Stage) -> bool:
        """Finds or executes the stage, or leaves it out after an error. False if another process is executing it."""
        with self._lock(stage) as is_acquired:
            if not is_acquired:
                return False
            artifact = self.source.find(stage) or self._create(number, total, stage)
            if artifact is not None:
                self.source.artifacts[stage.fingerprint] = artifact
        return True

    def _create(self, number: int, total: int, stage: Stage) -> Artifact | None:
        self.on_stage_start(number, total, stage.name)
        if self.signal is not None:
            self.signal.announce(stage.fingerprint)
        try:
            with name_stage_in_errors(stage, self.arms.get(stage.fingerprint, "")):
                artifact = self.source.get_or_create(stage)
        except Exception as error:
            if not self.on_error(stage, error):
                raise
            if self.signal is not None:
                # else a training would wait for the chunk of another process, for at most the timeout of its process group
                wait_for_claimed_chunks(self.source.store.folder(stage.name, stage.recipe))
            return None
        finally:
            free_memory()  # a trainer and its model form a reference cycle, and the next stage needs the memory
        self.on_stage_created(artifact.folder.name)
        return artifact

    def _lock(self, stage: Stage) -> AbstractContextManager[bool]:
        """Locks the stage and its engines: two stages with one engine take turns, since they share completions."""
        if self.locks is None:
            return nullcontext(True)
        engines = {value for name, value in stage.recipe.inputs.items() if name.startswith(ENGINE_PREFIX)}
        return self.locks.try_acquire([stage.fingerprint, *(f"engine-{hash_json(value)[:16]}" for value in engines)])


def _list_inputs(stage: Stage) -> set[str]:
    return {each.fingerprint for each in stage.input_stages.values()}


def discard_stale_stages(stages: Sequence[Stage], store: Store, runtime: Runtime) -> None:
    """Deletes the folders of stages that depend on deleted labels, so that they are executed again."""
    for stage in find_stale_stages(stages, store):
        runtime.notify(f"{stage.name} depends on labels that no longer exist; regenerating it")
        store.discard(stage.name, stage.recipe)


def execute_stages(
    stages: Sequence[Stage],
    store: Store,
    runtime: Runtime,
    artifacts: dict[str, Artifact],
    on_stage_start: OnStageStart,
) -> None:
    """Executes the stages that are not finished, without a plan, and adds all artifacts to `artifacts`, by fingerprint."""
    discard_stale_stages(stages, store, runtime)
    source = StageCache(store, None, artifacts, runtime)
    StageScheduler(source=source, on_stage_start=on_stage_start).execute(stages)
