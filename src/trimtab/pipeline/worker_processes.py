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

from trimtab.core.runtime import Runtime
from trimtab.pipeline.stage_scheduler import OnStageStart

THREADS_VARIABLE = "OMP_NUM_THREADS"
GO_LINE = "go\n"
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """What a worker needs to know. `study` is its YAML; `import_path` is where custom components are imported from."""

    study: str
    folder: str
    store: str | None
    device: str
    token_budget: int
    trainer_arguments: Mapping[str, Any]
    import_path: list[str]

    @classmethod
    def parse(cls, line: str) -> WorkerJob:
        return cls(**json.loads(line))


@dataclass(kw_only=True)
class WorkerProcesses:
    """`count` workers. Starting them early hides the time that they take to import torch.

    `created` are the names of the folders that they created, and `failed` the errors of measurements that failed, by stage.
    A stage that fails otherwise is left to the main process, which executes it again and so reports its error.
    """

    count: int
    runtime: Runtime
    on_stage_start: OnStageStart
    created: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)
    _is_stopping: bool = False

    def start(self, study: str, folder: Path, store: Path | None) -> None:
        for number in range(1, self.count + 1):
            job = WorkerJob(
                study=study,
                folder=str(folder.absolute()),
                store=None if store is None else str(store.absolute()),
                device=select_device(self.runtime.device, number),
                token_budget=self.runtime.token_budget,
                trainer_arguments=self.runtime.trainer_arguments,
                import_path=sys.path,
            )
            process = subprocess.Popen(
                [sys.executable, "-m", "trimtab.pipeline.stage_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # an interrupt reaches the main process, which stops the workers
            )
            self._processes.append(process)
            self._send(process, json.dumps(asdict(job)) + "\n")
            reader = threading.Thread(target=self._read_messages, args=(process, number), daemon=True)
            reader.start()
            self._readers.append(reader)

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
            reader.join()

    def _send(self, process: subprocess.Popen[str], text: str) -> None:
        with suppress(OSError):  # it ended; its reader says so
            process.stdin.write(text)  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

    def _read_messages(self, process: subprocess.Popen[str], number: int) -> None:
        handlers: Mapping[str, Callable[..., None]] = {
            "start": self.on_stage_start,
            "notify": self.runtime.notify,
            "created": self.created.append,
            "failed": self.failed.__setitem__,
        }
        with process.stdout as lines:  # type: ignore[union-attr]
            for line in lines:
                if line.endswith("\n"):  # else it was killed while it wrote
                    kind, *values = json.loads(line)
                    handlers[kind](*values)
        status = process.wait()
        if status and not self._is_stopping:
            self.runtime.notify(f"worker {number} ended with status {status}; the run continues without it")


def select_device(device: str, number: int) -> str:
    """The device of worker `number`: the GPUs in turn, starting after that of the main process, or the same device."""
    name, _, index = device.partition(":")
    if name != "cuda":
        return device
    import torch

    return f"cuda:{(int(index or 0) + number) % torch.cuda.device_count()}"


def choose_workers(runtime: Runtime) -> int:
    """Two on a CPU with two or more threads, each of which needs memory for a small model; else one."""
    import torch

    return 2 if runtime.device == "cpu" and torch.get_num_threads() >= 2 else 1


@contextmanager
def share_cores(workers: int, runtime: Runtime) -> Iterator[None]:
    """Gives each of the `workers` on a CPU its share of the threads, unless the user has set a number of threads.

    Processes that are started in the block inherit the share. One thread in each of two processes does more work than two
    threads in one process, since threads wait for each other after every operation.
    """
    if workers == 1 or runtime.device != "cpu" or THREADS_VARIABLE in os.environ:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    share = max(1, threads // workers)
    torch.set_num_threads(share)
    os.environ[THREADS_VARIABLE] = str(share)
    try:
        yield
    finally:
        del os.environ[THREADS_VARIABLE]
        torch.set_num_threads(threads)
