"""Runs a study in several processes: one writes all results, the others take part in its training."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.preflight import has_human_labels_on_unlabeled, prefetch_models
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Artifact, Draft, Store

HEARTBEAT_FILE = "run.heartbeat"
HEARTBEAT_SECONDS = 5.0
# A worker gives up after this time without a heartbeat of the main process.
MAX_SILENCE_SECONDS = 300.0
POLL_SECONDS = 0.2


@contextmanager
def heartbeat(folder: Path, interval: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Updates the heartbeat file of the run regularly from a thread, so that workers know the main process is alive."""
    path, stopped = folder / HEARTBEAT_FILE, threading.Event()
    path.touch()

    def beat() -> None:
        while not stopped.wait(interval):
            os.utime(path)

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        path.unlink(missing_ok=True)


def run_worker(study: Study, store: Store, runtime: Runtime, max_silence: float = MAX_SILENCE_SECONDS) -> None:
    """Takes part in the training stages and waits for the main process to finish the stages that training needs.

    Raises `StoreError` after `max_silence` seconds without a heartbeat of the main process.
    """
    prefetch_models(study, runtime)
    split = build_plan(study).split
    artifacts = {split.fingerprint: wait_for_stage(split, store, max_silence)}
    plan = build_plan(study, human_on_unlabeled=has_human_labels_on_unlabeled(artifacts[split.fingerprint]))
    for stage in plan.training_stages:
        if stage.fingerprint not in artifacts:
            if stage.role == "training" and store.find(stage.name, stage.recipe) is None:
                stage.run(Draft(folder=store.folder(stage.name, stage.recipe)), artifacts, runtime)
            artifacts[stage.fingerprint] = wait_for_stage(stage, store, max_silence)


def wait_for_stage(stage: Stage, store: Store, max_silence: float = MAX_SILENCE_SECONDS) -> Artifact:
    """The artifact of a stage that the main process runs.

    Raises `StoreError` after `max_silence` seconds without a heartbeat of the main process.
    """
    waiting_since = time.time()
    while (artifact := store.find(stage.name, stage.recipe)) is None:
        silence = time.time() - max(waiting_since, _last_heartbeat(store.root))
        if silence > max_silence:
            raise StoreError(
                f"{stage.name}: the main process of {store.root} gave no sign of life for {max_silence:g} seconds, so this "
                "worker stops; look at the main process's error and run the study again"
            )
        time.sleep(POLL_SECONDS)
    return artifact


def is_trained_by_several_processes(folder: Path) -> bool:
    """Whether the main process of a distributed run is alive."""
    return time.time() - _last_heartbeat(folder) < MAX_SILENCE_SECONDS


def _last_heartbeat(folder: Path) -> float:
    try:
        return (folder / HEARTBEAT_FILE).stat().st_mtime
    except FileNotFoundError:
        return 0.0
