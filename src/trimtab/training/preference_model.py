"""A preference model: a language model with a LoRA adapter that answers which of two responses is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.config.training import AuxConfidenceSettings, PreferenceModelSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import add_adapter, has_bf16_weights
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training import losses
from trimtab.training.trainer import LossFunction, TrainingExample, TrainingJob, TrainingRuntime, run_training


def train_preference_model(
    model: Any,
    examples: Sequence[TrainingExample],
    settings: PreferenceModelSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[Any, list[dict[str, float]]]:
    """The model with its trained adapter, and the log.

    Each example's row holds a question and its two answers; its label says how likely the first is the right one. With
    `recipe.orders` both, a pair's two examples stand one behind the other.
    """
    narrow = has_bf16_weights(model)
    policy = add_adapter(model, rank=settings.lora_r, alpha=settings.lora_alpha, seed=runtime.seed)
    job = TrainingJob(
        settings=settings,
        runtime=runtime,
        autocast_bf16=narrow,
        loss=build_answer_loss(settings.aux_confidence),
        count_items=_count_pairs,
        examples_per_pair=2 if settings.presentation_order == "both" else 1,
        loss_over_full_batch=settings.aux_confidence is not None,
    )
    return policy, run_training(ResponseLogprobs(policy), examples, job, folder, tick)


def build_answer_loss(auxiliary: AuxConfidenceSettings | None) -> LossFunction:
    """The cross-entropy of the answers, summed, and the share of labels that the model leans to.

    With `auxiliary`, its share of each label is the model's own answer; then the examples are those of a whole step.
    """

    def loss(summed: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        first = inputs["p_first"]
        weights = torch.stack([first, 1.0 - first], dim=1)
        leaning = (summed[:, 0] - summed[:, 1]) * (weights[:, 0] - weights[:, 1]).sign()
        share = losses.linear_warmup(auxiliary.weight, auxiliary.warmup_ratio, progress) if auxiliary else 0.0
        each = (
            losses.aux_confidence_loss(summed, weights, prediction_weight=share)
            if share
            else losses.answer_cross_entropy(summed, weights)
        )
        return each.sum(), {"accuracy": float(losses.preference_accuracy(leaning.detach()))}

    return loss


def _count_pairs(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["reference"])
