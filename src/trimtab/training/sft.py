"""Supervised fine-tuning of a causal language model on one response per prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.config.training import SftSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import has_bf16_weights, merge_adapter
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.models.sharding import is_sharded
from trimtab.storage.disk_sequence import map_values
from trimtab.training.lora import add_lora
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, run_training


def train_sft(
    model: Any,
    pairs: Sequence[TokenizedPair],
    settings: SftSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[Any, list[dict[str, float]]]:
    """Returns the fine-tuned full model in its original precision (an adapter is merged), and the log, one record per step.

    Trains on the first response of each pair. The adapter of a sharded model is not merged.
    """
    dtype, bf16 = next(model.parameters()).dtype, has_bf16_weights(model)
    # full weights are trained in float32: an update is often smaller than the precision of bfloat16
    trainable = add_lora(model, settings, runtime.seed) if settings.lora_r else model.float().requires_grad_(True)
    job = TrainingJob(settings=settings, runtime=runtime, autocast_bf16=bf16, loss=_sft_loss, count_items=_count_tokens)
    log = run_training(ResponseLogprobs(trainable), map_values(pairs, TrainingExample), job, folder, tick)
    if is_sharded(model):
        return trainable, log
    return (merge_adapter(trainable) if settings.lora_r else trainable.to(dtype)), log


def _sft_loss(logprobs: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
    return -logprobs.sum(), {}


def _count_tokens(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["targets"])
