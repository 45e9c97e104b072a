"""Builds the runtime of a command: device, distributed rank, progress bars."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from trimtab.cli.progress import RichProgress
from trimtab.cli.terminal import err
from trimtab.config.trainer_arguments import validate_trainer_arguments
from trimtab.core.openmp import find_openmp_problem
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError


def build_runtime(
    device: str = "auto",
    token_budget: int = 1024,
    trainer_arguments: Mapping[str, Any] | None = None,
    *,
    shard: bool = False,
) -> Runtime:
    """Builds a runtime. Raises `StudyError` for an invalid device, trainer argument or OpenMP variable."""
    arguments = dict(trainer_arguments or {})
    validate_trainer_arguments(arguments)
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if problem := find_openmp_problem():
        raise StudyError(problem)
    notices = RichProgress(err)
    progress = notices if rank == 0 else RichProgress(Console(file=io.StringIO()))
    return Runtime(
        progress=progress,
        notify=notices.notify if rank == 0 else lambda message: notices.notify(f"process {rank}: {message}"),
        device=_resolve_device(device),
        token_budget=token_budget,
        trainer_arguments=arguments,
        rank=rank,
        world_size=world_size,
        shard=shard,
    )


def parse_trainer_arguments(options: Sequence[str]) -> dict[str, Any]:
    """Parses `--trainer KEY=VALUE` options; values are read as YAML."""
    arguments = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise StudyError(f"--trainer {option}: expected KEY=VALUE")
        arguments[key] = parse_yaml(value, f"--trainer {key}")
    return arguments


def _resolve_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise StudyError(f"--device {name}: must be auto, cpu, cuda, cuda:N or mps")
    if name == "cpu":
        return name
    import torch

    if name != "auto":
        _require_device(name)
        return name
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require_device(name: str) -> None:
    """Raises `StudyError` unless torch can use this GPU."""
    import torch

    kind, _, index = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if int(index or 0) >= count:
        found = f"{count} GPU" + "s" * (count != 1)
        raise StudyError(
            f"--device {name}: torch {torch.__version__} finds {found} here; use another device, such as cpu"
        )
