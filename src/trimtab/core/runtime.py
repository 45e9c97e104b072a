"""Run-time options: device, memory, progress and distribution. They affect rounding at most and enter no fingerprint."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

# If it is 1, pairs are packed on a GPU as well.
PACKED_ON_GPU_VARIABLE = "TRIMTAB_PACKED_ON_GPU"


class ProgressTick(Protocol):
    """Advances one progress bar by the number of units completed since the last call."""

    def __call__(self, done: int = 1) -> None: ...


class Progress(Protocol):
    """Starts a progress bar. `unit` is the plural of what is counted: pairs, steps, prompts."""

    def __call__(self, label: str, total: int, unit: str) -> AbstractContextManager[ProgressTick]: ...


@contextmanager
def show_no_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    """A `Progress` without a bar."""
    del label, total, unit
    yield lambda done=1: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where and how a study runs. Never part of the study, since it affects rounding at most.

    `token_budget` is the maximum number of tokens in one forward pass. `trainer_arguments` are passed to
    `transformers.TrainingArguments`. In distributed training (`torchrun`), `world_size` is the number of processes and
    only the process with `rank` 0 writes files. With `shard`, each of them holds a part of the frozen weights in a training.
    """

    progress: Progress
    notify: Callable[[str], None]
    device: str = "cpu"
    token_budget: int = 1024
    trainer_arguments: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0
    world_size: int = 1
    shard: bool = False

    @property
    def num_shards(self) -> int:
        """The number of parts into which a training divides the frozen weights."""
        return self.world_size if self.shard else 1

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    @property
    def rounding_options(self) -> dict[str, Any]:
        """The options that affect the rounding of results. Processes that share a stage need the same ones."""
        device = self.device.partition(":")[0]
        packing = {"packed_on_gpu": True} if device == "cuda" and packs_on_gpu() else {}
        return {"device": device, "token_budget": self.token_budget, **packing}


def packs_on_gpu() -> bool:
    """Whether the user has asked for packed pairs on a GPU. They were never measured, so padded pairs are the default."""
    return os.environ.get(PACKED_ON_GPU_VARIABLE) == "1"
