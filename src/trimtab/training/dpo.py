"""Direct preference optimization of a LoRA adapter. The reference is the same model without the adapter; its log-probabilities
are computed once before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trimtab.config.training import DpoSettings
from trimtab.core.runtime import ProgressTick
from trimtab.errors import TrainingError
from trimtab.models.adapters import autocast_bf16, continue_adapter, has_bf16_weights
from trimtab.models.packing.pair_batch import collate_pairs
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training.dpo_objective import build_dpo_loss, build_item_count
from trimtab.training.lora import add_lora
from trimtab.training.trainer import TrainingExample, TrainingJob, TrainingRuntime, run_training

# Maximum difference between policy and reference before the first step, in nats per token, without and with bfloat16. In
# float32 only the summation order differs; in bfloat16 each value has about three digits. Those of another model differ by a
# tenth of a nat or more.
MAX_START_DIFFERENCE = {False: 1e-3, True: 0.03}


def train_dpo(
    model: Any,
    examples: Sequence[TrainingExample],
    settings: DpoSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
    initial_adapter: Path | None = None,
) -> tuple[Any, list[dict[str, float]]]:
    """Returns the model with its trained adapter, and the log: loss, accuracy and implicit margin, one record per step.

    The first response of each example is the chosen one. `initial_adapter` is the folder of an adapter on `model`, which is
    trained further. If the loss uses a reference, `reference_logprobs` must come from the model before training; raises
    `TrainingError` if the policy differs from it before the first step.
    """
    bf16 = has_bf16_weights(model)
    policy = (
        add_lora(model, settings, runtime.seed) if initial_adapter is None else continue_adapter(model, initial_adapter)
    )
    module = ResponseLogprobs(policy)
    if not settings.reference_free:
        check_reference_matches_policy(module, examples[: min(8, len(examples))], runtime, bf16)
    job = TrainingJob(
        settings=settings,
        runtime=runtime,
        autocast_bf16=bf16,
        loss=build_dpo_loss(settings),
        count_items=build_item_count(settings),
        loss_over_full_batch=settings.loss_type == "dr_dpo",
    )
    return policy, run_training(module, examples, job, folder, tick)


@torch.no_grad()
def check_reference_matches_policy(
    module: ResponseLogprobs, examples: Sequence[TrainingExample], runtime: TrainingRuntime, use_bf16: bool
) -> float:
    """Returns the mean absolute difference between policy and reference, in nats per token. Raises `TrainingError` if it is
    too large."""
    device = next(module.parameters()).device
    batch = collate_pairs([example.pair for example in examples], runtime.layout, runtime.pad_id).to(device)
    with autocast_bf16(module, use_bf16):
        policy = module(**batch.tensors()).cpu()
    reference = torch.tensor([example.reference_logprobs for example in examples])
    lengths = torch.tensor([[len(example.pair.first), len(example.pair.second)] for example in examples])
    difference = float(((policy - reference).abs() / lengths.clamp(min=1)).mean())
    if difference > MAX_START_DIFFERENCE[use_bf16]:
        raise TrainingError(
            f"{runtime.name}: policy and reference must agree before the first step, but they differ by {difference:.3f} nats "
            f"per token (at most {MAX_START_DIFFERENCE[use_bf16]}); the reference log-probabilities are from another model"
        )
    return difference
