"""A Bradley-Terry reward model: LoRA and a linear head on the last token of each response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.config.training import RewardModelSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import add_adapter, has_bf16_weights
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.reward_head import ResponseRewards
from trimtab.training import losses
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, run_training


def train_reward_model(
    model: Any,
    rows: Sequence[TokenizedPair],
    settings: RewardModelSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[ResponseRewards, list[dict[str, float]]]:
    """The model with its head and its adapter, or with all its weights trained, and the log.

    The first response of each row is the chosen one.
    """
    dtype, narrow = next(model.parameters()).dtype, has_bf16_weights(model)
    tuned = (
        add_adapter(model, rank=settings.lora_r, alpha=settings.lora_alpha, seed=runtime.seed)
        if settings.lora_r
        # whole weights are trained in float32: a step is often smaller than the last bit of a bfloat16
        else model.float().requires_grad_(True)
    )
    module = ResponseRewards(tuned)
    job = TrainingJob(
        settings=settings, runtime=runtime, autocast_bf16=narrow, loss=_bradley_terry_loss, count_items=_count_pairs
    )
    log = run_training(module, [TrainingExample(row) for row in rows], job, folder, tick)
    if not settings.lora_r:
        tuned.to(dtype)
    return module, log


def _bradley_terry_loss(
    rewards: Tensor, inputs: Mapping[str, Tensor], progress: float
) -> tuple[Tensor, dict[str, float]]:
    gaps = rewards.detach()[:, 0] - rewards.detach()[:, 1]
    return losses.bradley_terry_loss(rewards).sum(), {
        "accuracy": float(losses.preference_accuracy(gaps)),
        "margin": float(gaps.mean()),
    }


def _count_pairs(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["reference"])
