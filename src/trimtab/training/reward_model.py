"""Trains a Bradley-Terry reward model: LoRA and a linear head on the last token of each response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.config.training import RewardModelSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import has_bf16_weights
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.reward_head import ResponseRewards
from trimtab.training import losses
from trimtab.training.lora import add_lora
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, count_pairs, run_training


def train_reward_model(
    model: Any,
    pairs: Sequence[TokenizedPair],
    settings: RewardModelSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[ResponseRewards, list[dict[str, float]]]:
    """Returns the model with its reward head, either with an adapter or fully trained, and the log, one record per step.

    The first response of each pair is the chosen one.
    """
    dtype, bf16 = next(model.parameters()).dtype, has_bf16_weights(model)
    trainable = (
        add_lora(model, settings, runtime.seed)
        if settings.lora_r
        # full weights are trained in float32: an update is often smaller than the precision of bfloat16
        else model.float().requires_grad_(True)
    )
    module = ResponseRewards(trainable)
    job = TrainingJob(
        settings=settings, runtime=runtime, autocast_bf16=bf16, loss=_bradley_terry_loss, count_items=count_pairs
    )
    log = run_training(module, [TrainingExample(pair) for pair in pairs], job, folder, tick)
    if not settings.lora_r:
        trainable.to(dtype)
    return module, log


def _bradley_terry_loss(
    rewards: Tensor, inputs: Mapping[str, Tensor], progress: float
) -> tuple[Tensor, dict[str, float]]:
    margins = rewards.detach()[:, 0] - rewards.detach()[:, 1]
    metrics = {"accuracy": float(losses.preference_accuracy(margins)), "margin": float(margins.mean())}
    return losses.bradley_terry_loss(rewards).sum(), metrics
