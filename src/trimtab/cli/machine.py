"""The machine that a command runs on: its device, its share of a distributed run, its progress bars."""

from __future__ import annotations

import io
import os
import re

from rich.console import Console

from trimtab.cli.progress import RichProgress
from trimtab.cli.terminal import err
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError


def build_runtime(device: str, token_budget: int, trainer: list[str] | tuple[str, ...]) -> Runtime:
    import yaml

    arguments = {}
    for each in trainer:
        key, equals, value = each.partition("=")
        if not equals:
            raise StudyError(f"--trainer {each}: expected KEY=VALUE")
        arguments[key] = yaml.safe_load(value)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    bars = RichProgress(err if rank == 0 else Console(file=io.StringIO()))
    return Runtime(
        progress=bars,
        notify=bars.notify,
        device=_resolve_device(device),
        token_budget=token_budget,
        trainer_arguments=arguments,
        rank=rank,
        world_size=world,
    )


def _resolve_device(asked: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", asked):
        raise StudyError(f"--device {asked}: must be auto, cpu, cuda, cuda:N or mps")
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "mps" if torch.backends.mps.is_available() else "cpu"
