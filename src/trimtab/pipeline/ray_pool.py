"""Workers of a run on the nodes of a Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import threading
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.errors import ClusterError
from trimtab.pipeline.child_process import ChildProcess
from trimtab.pipeline.stage_scheduler import OnStageStart
from trimtab.pipeline.worker_processes import list_gpus
from trimtab.pipeline.worker_protocol import GO_LINE, THREADS_VARIABLE, WorkerJob, to_line
from trimtab.storage.artifacts import LOCK_FILES

LAUNCHER_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from trimtab.pipeline.ray_launcher import run_ray_launcher; run_ray_launcher()"
)
# Longer than all that the launcher waits for.
READY_SECONDS = 300.0
_ADDRESS = r"auto|(\[[0-9a-fA-F:]+\]|[^:/\s\[\]]+):\d{1,5}"


@dataclass(kw_only=True)
class RayPool:
    """A `WorkerPool` of `count` Ray actors, or of as many as the cluster has room for, next to the main process.

    Use it while the main process holds the lock of the run folder: that is how a node proves that it shares file locks.
    """

    address: str
    count: int | None
    runtime: Runtime
    on_stage_start: OnStageStart
    created: list[str] = field(default_factory=list)
    _launcher: ChildProcess | None = None
    _is_started: threading.Event = field(default_factory=threading.Event)
    _is_stopping: bool = False
    _problem: str = ""

    def start(self, folder: Path, store: Path | None) -> None:
        """Raises `ClusterError` if no cluster answers, if it has no room for a worker, or if a node lacks something."""
        self._launcher = ChildProcess(
            LAUNCHER_CODE,
            {
                "start": self.on_stage_start,
                "notify": self.runtime.notify,
                "created": self.created.append,
                "ready": self._is_started.set,
                "problem": self._report_problem,
            },
            self._handle_end,
            environment={"RAY_USAGE_STATS_ENABLED": "0"},
            is_quiet=True,
        )
        job = WorkerJob.build(folder, store, self.runtime)
        self._launcher.send(to_line(self._describe_workers(folder.absolute()) | {"job_line": job.to_line()}))
        if not self._is_started.wait(READY_SECONDS):
            self._report_problem(f"--ray {self.address}: no answer from Ray within {READY_SECONDS:g} s")
        if self._problem:
            raise ClusterError(self._problem)

    def begin(self) -> None:
        if self._launcher is not None:
            self._launcher.send(GO_LINE)

    def stop(self) -> None:
        self._is_stopping = True
        if self._launcher is not None:
            self._launcher.close()
            self._launcher.wait()

    def _describe_workers(self, folder: Path) -> dict[str, Any]:
        device, _, index = self.runtime.device.partition(":")
        gpus = list_gpus() if device == "cuda" else []
        return {
            "address": self.address,
            "count": self.count,
            "resources": {"GPU": 1, "CPU": 1} if device == "cuda" else {"CPU": _count_threads()},
            "main_gpu": gpus[int(index or 0)] if gpus else None,
            "import_path": [path for path in sys.path if isinstance(path, str)],
            # Ray sets the number of threads to that of the reserved cores
            "environment": {
                THREADS_VARIABLE: os.environ.get(THREADS_VARIABLE) if device == "cuda" else str(_count_threads())
            },
            "requirements": {
                "version": version("trimtab"),
                "working_directory": str(Path.cwd()),
                "owner_file": str(folder / LOCK_FILES[1]),
                "owner": (folder / LOCK_FILES[1]).read_text(encoding="utf-8"),
                "lock_file": str(folder / LOCK_FILES[0]),
            },
        }

    def _report_problem(self, text: str) -> None:
        self._problem = text
        self._is_started.set()

    def _handle_end(self, status: int) -> None:
        if not self._is_started.is_set():
            self._report_problem(f"--ray {self.address}: the process that connects to Ray ended with status {status}")
        elif status and not self._is_stopping and not self._problem:
            self.runtime.notify(
                f"the connection to Ray is lost (status {status}); the run continues without its workers"
            )


def require_ray(address: str) -> None:
    """Raises `ClusterError` for an address that cannot be one, or if Ray is not installed."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"--ray {address}: Ray Client is not supported, since the main process needs the run folder; start Trimtab on a "
            "node of the cluster, or with: ray job submit"
        )
    if not re.fullmatch(_ADDRESS, address):
        raise ClusterError(f"--ray {address}: expected auto, or HOST:PORT of the head of a cluster")
    if importlib.util.find_spec("ray") is None:
        raise ClusterError(
            f"--ray {address}: the package ray is missing; install trimtab[ray]: in Trimtab's folder, run pip install '.[ray]'"
        )


def _count_threads() -> int:
    import torch

    return torch.get_num_threads()
