"""Supervised fine-tuning of a causal model on one response a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab.config.training import SftSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import add_adapter, has_bf16_weights, merge_adapter
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, run_training


def train_sft(
    model: Any,
    rows: Sequence[TokenizedPair],
    settings: SftSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[Any, list[dict[str, float]]]:
    """The tuned model, whole (an adapter is merged) and in the precision it came in, and the log, a record a step."""
    dtype, narrow = next(model.parameters()).dtype, has_bf16_weights(model)
    if settings.lora_r:
        tuned = add_adapter(model, rank=settings.lora_r, alpha=settings.lora_alpha, seed=runtime.seed)
    else:
        # whole weights are trained in float32: a step is often smaller than the last bit of a bfloat16
        tuned = model.float().requires_grad_(True)
    job = TrainingJob(
        settings=settings, runtime=runtime, autocast_bf16=narrow, loss=_sft_loss, count_items=_count_tokens
    )
    log = run_training(ResponseLogprobs(tuned), [TrainingExample(row) for row in rows], job, folder, tick)
    return (merge_adapter(tuned) if settings.lora_r else tuned.to(dtype)), log


def _sft_loss(summed: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
    return -summed.sum(), {}


def _count_tokens(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["targets"])
