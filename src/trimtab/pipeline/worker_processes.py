"""Processes on this machine that execute stages of the same run, next to the main process.

The main process sends a `WorkerJob` and starts the work. Everything else goes through the run folder: a worker finds finished
stages there and locks those that it executes. Its messages are lines of JSON. A worker ends when its standard input does, so
it never outlives the main process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.pipeline.stage_scheduler import OnStageStart

THREADS_VARIABLE = "OMP_NUM_THREADS"
GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
GO_LINE = "go\n"
STOP_SECONDS = 5.0
# Imports only what the main process would import: `-m` would look into the working directory first.
WORKER_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from trimtab.pipeline.stage_worker import run_stage_worker; run_stage_worker()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """What a worker needs to know. `study` are its settings as JSON."""

    study: Mapping[str, Any]
    folder: str
    store: str | None
    device: str
    token_budget: int
    trainer_arguments: Mapping[str, Any]

    @classmethod
    def parse(cls, line: str) -> WorkerJob:
        return cls(**json.loads(line))


@dataclass(kw_only=True)
class WorkerProcesses:
    """`count` workers. Starting them early hides the time that they take to import torch.

    `created` are the names of the folders that they created. A stage that fails is left to the main process, which executes it
    again and so reports its error.
    """

    count: int
    runtime: Runtime
    on_stage_start: OnStageStart
    created: list[str] = field(default_factory=list)
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)
    _is_stopping: bool = False

    def start(self, study: Study, folder: Path, store: Path | None) -> None:
        job = WorkerJob(
            study=study.model_dump(mode="json", exclude_defaults=True),
            folder=str(folder.absolute()),
            store=None if store is None else str(store.absolute()),
            device=self.runtime.device.partition(":")[0],
            token_budget=self.runtime.token_budget,
            trainer_arguments=self.runtime.trainer_arguments,
        )
        line = json.dumps(asdict(job)) + "\n"
        import_path = json.dumps([path for path in sys.path if isinstance(path, str)])
        for number in range(1, self.count + 1):
            process = subprocess.Popen(  # noqa: S603 - the code is a constant
                [sys.executable, "-P", "-c", WORKER_CODE, import_path],
                env={**os.environ, **select_resources(self.runtime.device, number)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # an interrupt reaches the main process, which stops the workers
            )
            reader = threading.Thread(target=self._read_messages, args=(process, number), daemon=True)
            self._processes.append(process)
            self._readers.append(reader)
            reader.start()
            self._send(process, line)

    def begin(self) -> None:
        """Lets the workers execute stages: the split is finished and all checks passed."""
        for process in self._processes:
            self._send(process, GO_LINE)

    def stop(self) -> None:
        """Ends the workers, killing what they execute, and waits for their last messages."""
        self._is_stopping = True
        for process in self._processes:
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        for process, reader in zip(self._processes, self._readers, strict=True):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join(STOP_SECONDS)  # a process that the worker started can keep its pipe open

    def _send(self, process: subprocess.Popen[str], text: str) -> None:
        with suppress(OSError):  # it ended; its reader says so
            process.stdin.write(text)  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

    def _read_messages(self, process: subprocess.Popen[str], number: int) -> None:
        handlers: Mapping[str, Callable[..., None]] = {
            "start": self.on_stage_start,
            "notify": self.runtime.notify,
            "created": self.created.append,
        }
        with process.stdout as lines:  # type: ignore[union-attr]
            for line in lines:
                if line.endswith("\n"):  # else it was killed while it wrote
                    kind, *values = json.loads(line)
                    handlers[kind](*values)
        status = process.wait()
        if status and not self._is_stopping:
            self.runtime.notify(f"worker {number} ended with status {status}; the run continues without it")


def select_resources(device: str, number: int) -> dict[str, str]:
    """Environment variables of worker `number`: as many threads as this process has on a CPU, or a GPU.

    Workers take the GPUs in turn, starting after that of the main process. A worker sees no other GPU, because Trainer and
    vLLM use the first ones that they see.
    """
    import torch

    name, _, index = device.partition(":")
    if name == "cpu":
        return {THREADS_VARIABLE: str(torch.get_num_threads())}
    gpus = torch.cuda.device_count() if name == "cuda" else 0
    if gpus == 0:
        return {}
    visible = os.environ.get(GPUS_VARIABLE)
    names = visible.split(",") if visible else [str(gpu) for gpu in range(gpus)]
    return {GPUS_VARIABLE: names[(int(index or 0) + number) % gpus]}


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
