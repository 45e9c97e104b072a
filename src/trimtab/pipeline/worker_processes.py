"""Processes on this machine that execute stages of the same run, next to the main process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.core.runtime import Runtime
from trimtab.pipeline.child_process import ChildProcess
from trimtab.pipeline.stage_scheduler import OnStageStart
from trimtab.pipeline.worker_protocol import GO_LINE, GPUS_VARIABLE, THREADS_VARIABLE, MessageHandlers, WorkerJob

WORKER_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from trimtab.pipeline.stage_worker import run_stage_worker; run_stage_worker()"
)


@dataclass(kw_only=True)
class WorkerProcesses:
    """A `WorkerPool` of `count` processes. On a CPU they share the cores with the main process.

    Starting them early hides the time that they take to import torch. A stage that fails is left to the main process, which
    executes it again and so reports its error.
    """

    count: int
    runtime: Runtime
    on_stage_start: OnStageStart
    created: list[str] = field(default_factory=list)
    _processes: list[ChildProcess] = field(default_factory=list)
    _shared_cores: ExitStack = field(default_factory=ExitStack)
    _is_stopping: bool = False

    def start(self, folder: Path, store: Path | None) -> None:
        self._shared_cores.enter_context(share_cores(self.count + 1, self.runtime))
        line = WorkerJob.build(folder, store, self.runtime).to_line()
        handlers: MessageHandlers = {
            "start": self.on_stage_start,
            "notify": self.runtime.notify,
            "created": self.created.append,
        }
        for number in range(1, self.count + 1):
            process = ChildProcess(
                WORKER_CODE,
                handlers,
                self._describe_end(number),
                environment=select_resources(self.runtime.device, number),
            )
            self._processes.append(process)
            process.send(line)

    def begin(self) -> None:
        for process in self._processes:
            process.send(GO_LINE)

    def stop(self) -> None:
        self._is_stopping = True
        for process in self._processes:
            process.close()
        for process in self._processes:
            process.wait()
        self._shared_cores.close()

    def _describe_end(self, number: int) -> Callable[[int], None]:
        def describe(status: int) -> None:
            if status and not self._is_stopping:
                self.runtime.notify(f"worker {number} ended with status {status}; the run continues without it")

        return describe


def select_resources(device: str, number: int) -> dict[str, str]:
    """Environment variables of worker `number`: as many threads as this process has on a CPU, or a GPU.

    Workers take the GPUs in turn, starting after that of the main process. A worker sees no other GPU, because Trainer and
    vLLM use the first ones that they see.
    """
    import torch

    name, _, index = device.partition(":")
    if name == "cpu":
        return {THREADS_VARIABLE: str(torch.get_num_threads())}
    gpus = list_gpus() if name == "cuda" else []
    return {GPUS_VARIABLE: gpus[(int(index or 0) + number) % len(gpus)]} if gpus else {}


def list_gpus() -> list[str]:
    """The GPUs that this process sees, by their names for `CUDA_VISIBLE_DEVICES`."""
    import torch

    visible = os.environ.get(GPUS_VARIABLE)
    names = visible.split(",") if visible else map(str, range(torch.cuda.device_count()))
    return list(names)[: torch.cuda.device_count()]


def choose_workers(runtime: Runtime) -> int:
    """For a study of small models: two on a CPU with two or more threads, else one."""
    import torch

    return 2 if runtime.device == "cpu" and runtime.world_size == 1 and torch.get_num_threads() >= 2 else 1


@contextmanager
def share_cores(workers: int, runtime: Runtime) -> Iterator[None]:
    """Gives this process its share of the threads on a CPU, unless the user has set a number of threads.

    One thread in each of two processes does more work than two threads in one process, since threads wait for each other after
    every operation.
    """
    if workers == 1 or runtime.device != "cpu" or THREADS_VARIABLE in os.environ:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
