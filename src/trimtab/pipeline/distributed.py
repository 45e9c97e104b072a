"""Several processes run a study: one executes all stages, the others take part in its training and compute its chunks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.config.study import Study
from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.errors import NoLabelsError, StoreError
from trimtab.pipeline.chunk_sharing import ChunkSharing
from trimtab.pipeline.heartbeat import MainProcess
from trimtab.pipeline.joined_run import find_plan
from trimtab.pipeline.plan import Plan, build_plan
from trimtab.pipeline.preflight import prefetch_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.storage.artifacts import Draft, Store

POLL_SECONDS = 0.2


def run_worker(study: Study, store: Store, runtime: Runtime) -> None:
    """Takes part in the stages that the main process executes, until that process ends.

    Raises `StoreError` without a heartbeat of the main process, and if the main process executes a stage that is not in the
    plan of this one.
    """
    main_process = MainProcess(folder=store.root)
    prefetch_models(study, _without_notices(runtime))
    plan = _wait_for_plan(study, store, main_process)
    if plan is not None:
        Participation(StageCache(store, None, {}, runtime), main_process).take_part(plan.stages)


@dataclass(frozen=True, slots=True)
class Participation:
    """The part of this process in the stages of the main process. `source` has the inputs of the stages."""

    source: StageCache
    main_process: MainProcess

    def take_part(self, stages: Sequence[Stage]) -> None:
        """Trains together with the main process and computes chunks of the other stages, until the main process ends."""
        by_fingerprint = {stage.fingerprint: stage for stage in stages}
        sharing = ChunkSharing(self.source, lambda stage: self.main_process.find_stage() == stage.fingerprint)
        trained = set[str]()
        while (fingerprint := self.main_process.find_stage()) is not None:
            stage = _select_stage(fingerprint, by_fingerprint, self.source.store)
            if stage is None or fingerprint in trained or not self._find_inputs(stage):
                time.sleep(POLL_SECONDS)
            elif stage.role == "training":
                trained.add(fingerprint)
                self._train(stage)
            elif not sharing.compute_chunks(stage):
                time.sleep(POLL_SECONDS)

    def _find_inputs(self, stage: Stage) -> bool:
        """Whether all inputs are finished, as far as this host sees the shared folder."""
        artifacts = self.source.artifacts
        for each in stage.input_stages.values():
            if each.fingerprint not in artifacts:
                artifact = self.source.find(each)
                if artifact is None:
                    return False
                artifacts[each.fingerprint] = artifact
        return True

    def _train(self, stage: Stage) -> None:
        draft = Draft(folder=self.source.store.folder(stage.name, stage.recipe))
        try:
            stage.run(draft, self.source.artifacts, _without_notices(self.source.runtime))
        except NoLabelsError:
            pass  # the main process finds none either, and leaves the arm out
        finally:
            free_memory()


def _wait_for_plan(study: Study, store: Store, main_process: MainProcess) -> Plan | None:
    """The plan, as soon as the main process has finished the split. None if it ends before."""
    split = build_plan(study).split
    while (fingerprint := main_process.find_stage()) is not None:
        if store.find_folder(split.name, split.recipe) is not None:
            return find_plan(study, store)
        _select_stage(fingerprint, {split.fingerprint: split}, store)
        time.sleep(POLL_SECONDS)
    return None


def _select_stage(fingerprint: str, stages: Mapping[str, Stage], store: Store) -> Stage | None:
    """The stage, or None if the main process has not named one yet."""
    if fingerprint and fingerprint not in stages:
        raise StoreError(
            f"{store.root}: the main process executes the stage {fingerprint}, which would be another one in this process; "
            "use the same version, files and models, and the same working directory"
        )
    return stages.get(fingerprint)


def _without_notices(runtime: Runtime) -> Runtime:
    """The main process gives the same notices."""
    return replace(runtime, notify=lambda message: None)
