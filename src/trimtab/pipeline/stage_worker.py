"""A worker process: executes stages of a run next to its main process. See `worker_protocol`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from trimtab.core.openmp import limit_thread_spinning
from trimtab.core.runtime import Runtime, show_no_progress
from trimtab.errors import TrimtabError
from trimtab.pipeline.worker_protocol import GO_LINE, Send, WorkerJob, open_message_stream


def run_stage_worker() -> None:
    """Reads a job from standard input, waits for the main process's checks, and executes stages until none is left."""
    limit_thread_spinning()
    send = open_message_stream()  # libraries print to standard output
    job = WorkerJob.parse(sys.stdin.readline())
    checks_passed = threading.Event()

    def follow_main_process() -> None:
        """Ends this process as soon as the main process closes the pipe or dies."""
        if sys.stdin.readline() == GO_LINE:
            checks_passed.set()
            os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=follow_main_process, daemon=True).start()
    import torch  # noqa: F401 - takes seconds, while the main process makes its checks

    checks_passed.wait()
    try:
        execute_job(job, send)
    except TrimtabError as error:
        send("notify", f"a worker cannot work: {error}")
        sys.exit(1)


def execute_job(job: WorkerJob, send: Send) -> None:
    """Executes all stages that no other process executes. A stage that fails is left to the main process.

    Raises `StoreError` if other weights or files on this host would give other stages.
    """
    from trimtab.pipeline.joined_run import INDEX_SECONDS, wait_for_plan
    from trimtab.pipeline.stage import Stage
    from trimtab.pipeline.stage_cache import StageCache
    from trimtab.pipeline.stage_errors import describe_error
    from trimtab.pipeline.stage_scheduler import StageScheduler
    from trimtab.storage.artifacts import Store
    from trimtab.storage.shared_store import SharedStore
    from trimtab.storage.stage_locks import StageLocks

    store = Store(Path(job.folder))
    runtime = Runtime(
        progress=show_no_progress,
        notify=lambda message: send("notify", message),
        device=job.device,
        token_budget=job.token_budget,
        trainer_arguments=job.trainer_arguments,
    )
    plan = wait_for_plan(store.root, runtime, INDEX_SECONDS)

    def leave_to_main_process(stage: Stage, error: Exception) -> bool:
        send("notify", f"{describe_error(error)}; the main process executes {stage.name} again")
        return True

    StageScheduler(
        source=StageCache(store, SharedStore(Path(job.store)) if job.store else None, {}, runtime),
        on_stage_start=lambda number, total, name: send("start", number, total, name),
        on_stage_created=lambda name: send("created", name),
        on_error=leave_to_main_process,
        arms=plan.arms_by_stage,
        locks=StageLocks(store.root),
    ).execute(plan.stages)
