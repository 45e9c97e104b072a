"""How the main process of a run and its workers talk: a job, a line that lets them begin, and messages back.

Everything else goes through the run folder: a worker finds finished stages there and locks those that it executes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from trimtab.core.runtime import Runtime

GO_LINE = "go\n"
THREADS_VARIABLE = "OMP_NUM_THREADS"
GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"

# Sends one message: its kind, and values that JSON can hold.
Send = Callable[..., None]
# What to do with the values of a message, by kind.
MessageHandlers = Mapping[str, Callable[..., object]]


class WorkerPool(Protocol):
    """Workers that execute stages of one run next to its main process. A worker that is lost does not end the run."""

    @property
    def created(self) -> list[str]:
        """The names of the folders that the workers created so far."""

    def start(self, folder: Path, store: Path | None) -> None:
        """Starts the workers, which then wait. `folder` is that of the run, `store` that of shared stages."""

    def begin(self) -> None:
        """Lets the workers execute stages: the split is finished and all checks passed."""

    def stop(self) -> None:
        """Ends the workers, killing what they execute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """What a worker needs to know besides what is in the folder of the run."""

    folder: str
    store: str | None
    device: str
    token_budget: int
    trainer_arguments: Mapping[str, Any]

    @classmethod
    def build(cls, folder: Path, store: Path | None, runtime: Runtime) -> WorkerJob:
        return cls(
            folder=str(folder.absolute()),
            store=None if store is None else str(store.absolute()),
            device=runtime.device.partition(":")[0],
            token_budget=runtime.token_budget,
            trainer_arguments=runtime.trainer_arguments,
        )

    @classmethod
    def parse(cls, line: str) -> WorkerJob:
        return cls(**json.loads(line))

    def to_line(self) -> str:
        return to_line(asdict(self))


def to_line(value: Any) -> str:
    return json.dumps(value) + "\n"


def open_message_stream() -> Send:
    """Sends messages as lines of JSON to standard output. Anything else that is printed goes to standard error from now on."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            messages.write(to_line(message))

    return send
