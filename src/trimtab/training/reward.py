"""A Bradley-Terry reward model: LoRA and a linear head on the last token of each response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.lm.adapters import add_adapter, is_narrow
from trimtab.lm.rewards import ResponseRewards
from trimtab.lm.rows import Row
from trimtab.protocols import Tick
from trimtab.training import losses
from trimtab.training.loop import Example, Job, Setup, train
from trimtab.training.settings import Reward


def reward(
    model: Any, rows: Sequence[Row], recipe: Reward, setup: Setup, folder: Path, tick: Tick
) -> tuple[ResponseRewards, list[dict[str, float]]]:
    """The model with its head and its adapter, or with all its weights trained, and the log.

    The first response of each row is the chosen one.
    """
    dtype, narrow = next(model.parameters()).dtype, is_narrow(model)
    tuned = (
        add_adapter(model, rank=recipe.lora_rank, alpha=recipe.lora_alpha, seed=setup.seed)
        if recipe.lora_rank
        # whole weights are trained in float32: a step is often smaller than the last bit of a bfloat16
        else model.float().requires_grad_(True)
    )
    module = ResponseRewards(tuned)
    job = Job(recipe=recipe, setup=setup, narrow=narrow, loss=_loss, items=_pairs)
    log = train(module, [Example(row) for row in rows], job, folder, tick)
    if not recipe.lora_rank:
        tuned.to(dtype)
    return module, log


def _loss(rewards: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
    gaps = rewards.detach()[:, 0] - rewards.detach()[:, 1]
    return losses.bradley_terry(rewards).sum(), {"accuracy": float(losses.accuracy(gaps)), "margin": float(gaps.mean())}


def _pairs(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["reference"])
