"""A worker on a node of a Ray cluster.

Ray sends this module to the nodes, so that a node with another version of Trimtab, or without it, can say so. It therefore
imports nothing but the standard library until the versions agree.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

_POLL_SECONDS = 0.5
# The packages of this node come first: those of the main process can be in other places.
_WORKER_CODE = (
    "import json, os, sys; "
    "sys.path += [path for path in json.loads(sys.argv[1]) if path not in sys.path and os.path.exists(path)]; "
    "from trimtab.pipeline.stage_worker import run_stage_worker; run_stage_worker()"
)


@dataclass(frozen=True, kw_only=True)
class NodeRequirements:
    """What every node needs: the version of Trimtab, the working directory of the main process, and the run folder.

    The file `owner_file` of the run folder contains the text `owner`, and the main process holds the lock `lock_file`.
    `wait_seconds` is how long a shared file system can take to show a file that was just written.
    """

    version: str
    working_directory: str
    owner_file: str
    owner: str
    lock_file: str
    wait_seconds: float = 10.0

    def find_problem(self) -> str:
        """What this node lacks, as a sentence without its subject, or an empty text."""
        try:
            found = version("trimtab")
        except PackageNotFoundError:
            return f"has no Trimtab; install version {self.version} for {sys.executable} there"
        if found != self.version:
            return f"has Trimtab {found}, and the run has {self.version}; install one version on all nodes"
        if not Path(self.working_directory).is_dir():
            return (
                f"does not see the working directory {self.working_directory}; start the run in a folder of a file system that "
                "all nodes mount at the same place"
            )
        return self._find_folder_problem()

    def _find_folder_problem(self) -> str:
        import filelock

        deadline = time.monotonic() + self.wait_seconds
        while not _has_text(Path(self.owner_file), self.owner):
            if time.monotonic() > deadline:
                return (
                    f"does not see the run folder {Path(self.owner_file).parent}; give --out a folder of a file system that "
                    "all nodes mount at the same place"
                )
            time.sleep(_POLL_SECONDS)
        try:
            with filelock.FileLock(self.lock_file, timeout=0):
                reason = "it got a lock that the main process holds"
        except filelock.Timeout:
            return ""
        except (OSError, NotImplementedError) as error:
            reason = str(error)
        return (
            f"shares no file locks with the main process in {Path(self.lock_file).parent} ({reason}); use a file system with "
            "POSIX locks, such as NFS 4"
        )


class NodeReport(TypedDict):
    """What an actor says about its node: its name, what it lacks, and the GPUs that Ray has given to the actor."""

    node: str
    node_id: str
    problem: str
    gpus: list[str]


class StageActor:
    """Starts the process that executes stages, and forwards its messages.

    The work is done by a process of its own, like that of `--workers`, because libraries expect the main thread and the
    environment of a usual process. It ends with the actor, even if that is killed, since its standard input then ends.
    """

    def start(
        self,
        requirements: NodeRequirements,
        job_line: str,
        import_path: list[str],
        environment: Mapping[str, str | None],
    ) -> NodeReport:
        """Checks the node and starts the process, which then waits. A variable of `environment` that is None is removed."""
        import ray

        context = ray.get_runtime_context()
        problem = requirements.find_problem()
        if not problem:
            self._start_process(requirements.working_directory, job_line, import_path, environment)
        return {  # by value, the class of a typed dictionary cannot be sent
            "node": f"{socket.gethostname()} ({ray.util.get_node_ip_address()})",
            "node_id": context.get_node_id(),
            "problem": problem,
            "gpus": [str(gpu) for gpu in context.get_accelerator_ids().get("GPU", [])],
        }

    def execute(self, go_line: str) -> Iterator[str]:
        """Lets the process begin. Yields its messages as lines of JSON, and `["ended", STATUS]` at its end."""
        _write(self._process, go_line)
        with self._process.stdout as lines:  # type: ignore[union-attr]
            yield from (line for line in lines if line.endswith("\n"))
        yield json.dumps(["ended", self._process.wait()])

    def _start_process(
        self, folder: str, job_line: str, import_path: list[str], environment: Mapping[str, str | None]
    ) -> None:
        values = {**os.environ, **environment}
        self._process = subprocess.Popen(  # noqa: S603 - the code is a constant
            [sys.executable, "-P", "-c", _WORKER_CODE, json.dumps(import_path)],
            cwd=folder,
            env={name: value for name, value in values.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _write(self._process, job_line)


def _has_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False


def _write(process: subprocess.Popen[str], text: str) -> None:
    try:
        process.stdin.write(text)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    except OSError:  # it ended; `execute` yields its status
        return
