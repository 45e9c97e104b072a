"""Checks that all processes of a training have the same trained weights."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

from trimtab.errors import TrainingError


class EqualWeightsCheck(TrainerCallback):
    """Stops a training of a sharded model whose processes train different adapters. Their losses would not show it.

    Checks after the second step and at the end: the first step of a warmup has a learning rate of zero.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_steps = 0

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.num_steps += 1
        if self.num_steps == 2:
            require_equal_weights(model, self.name)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        require_equal_weights(model, self.name)


def require_equal_weights(module: Any, name: str) -> None:
    """Compares the trainable weights of all processes, which must call this together. Raises `TrainingError` if they differ."""
    digest = hashlib.sha256()
    for parameter in module.parameters():
        if parameter.requires_grad:
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
    digests: list[str] = [""] * distributed.get_world_size()
    distributed.all_gather_object(digests, digest.hexdigest())
    if len(set(digests)) > 1:
        raise TrainingError(
            f"{name}: the {len(digests)} processes have trained different adapters, so their gradients are not averaged; leave "
            "out --shard, and report the versions of torch, transformers and peft"
        )
