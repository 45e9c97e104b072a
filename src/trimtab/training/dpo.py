"""Direct preference optimization of a LoRA adapter. The reference is the same model with the adapter switched off, read
once into a table before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.config.training import DpoSettings
from trimtab.core.runtime import ProgressTick
from trimtab.errors import TrainingError
from trimtab.models.adapters import add_adapter, autocast_bf16, has_bf16_weights
from trimtab.models.packing.pair_batch import collate_pairs
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training.dpo_objective import build_dpo_loss
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, run_training

# Nats a token by which policy and reference may differ before the first step. In float32 they are the same sums in another
# order; in bfloat16 each carries about three digits. The wrong model as reference is off by a tenth of a nat and more.
MAX_START_DIFFERENCE = {False: 1e-3, True: 0.03}


def train_dpo(
    model: Any,
    examples: Sequence[TrainingExample],
    settings: DpoSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[Any, list[dict[str, float]]]:
    """The model with its trained adapter, and the log: loss, accuracy and implicit margins, a record a step.

    The first response of each example's row is the chosen one; its `reference` comes from the model as it is given, where
    the loss needs one. Raises `TrainingError` if the policy does not agree with it before the first step.
    """
    narrow = has_bf16_weights(model)
    policy = add_adapter(model, rank=settings.lora_r, alpha=settings.lora_alpha, seed=runtime.seed)
    module = ResponseLogprobs(policy)
    if not settings.reference_free:
        check_reference_matches_policy(module, examples[: min(8, len(examples))], runtime, narrow)
    whole = settings.loss_type == "dr_dpo"
    job = TrainingJob(
        settings=settings,
        runtime=runtime,
        autocast_bf16=narrow,
        loss=build_dpo_loss(settings),
        count_items=_count_pairs,
        loss_over_full_batch=whole,
    )
    return policy, run_training(module, examples, job, folder, tick)


@torch.no_grad()
def check_reference_matches_policy(
    module: ResponseLogprobs, examples: Sequence[TrainingExample], runtime: TrainingRuntime, use_bf16: bool
) -> float:
    """The mean difference between policy and reference in nats a token. Raises `TrainingError` when it is too large."""
    device = next(module.parameters()).device
    batch = collate_pairs([example.pair for example in examples], runtime.layout, runtime.pad_id).to(device)
    with autocast_bf16(module, use_bf16):
        summed = module(**batch.tensors()).cpu()
    reference = torch.tensor([example.reference_logprobs for example in examples])
    counts = torch.tensor([[len(example.pair.first), len(example.pair.second)] for example in examples])
    difference = float(((summed - reference).abs() / counts.clamp(min=1)).mean())
    if difference > MAX_START_DIFFERENCE[use_bf16]:
        raise TrainingError(
            f"{runtime.name}: before the first step policy and reference must agree, and they differ by {difference:.3f} nats "
            f"a token (at most {MAX_START_DIFFERENCE[use_bf16]}); the reference table was made by another model"
        )
    return difference


def _count_pairs(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["reference"])
