"""Trains a preference model: a language model with a LoRA adapter that answers which of two responses is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.config.training import AuxConfidenceSettings, PreferenceModelSettings
from trimtab.core.runtime import ProgressTick
from trimtab.models.adapters import has_bf16_weights
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training import losses
from trimtab.training.lora import add_lora
from trimtab.training.trainer import (
    LossFunction,
    TrainingExample,
    TrainingJob,
    TrainingRuntime,
    count_pairs,
    run_training,
)


def train_preference_model(
    model: Any,
    examples: Sequence[TrainingExample],
    settings: PreferenceModelSettings,
    runtime: TrainingRuntime,
    folder: Path,
    tick: ProgressTick,
) -> tuple[Any, list[dict[str, float]]]:
    """Returns the model with its trained adapter, and the log, one record per step.

    Each example holds a prompt and its two possible answers; its label is the probability that the first answer is correct.
    If `presentation_order` is both, the two examples of a pair are consecutive.
    """
    bf16 = has_bf16_weights(model)
    policy = add_lora(model, settings, runtime.seed)
    job = TrainingJob(
        settings=settings,
        runtime=runtime,
        autocast_bf16=bf16,
        loss=build_answer_loss(settings.aux_confidence),
        count_items=count_pairs,
        examples_per_pair=2 if settings.presentation_order == "both" else 1,
        loss_over_full_batch=settings.aux_confidence is not None,
    )
    return policy, run_training(ResponseLogprobs(policy), examples, job, folder, tick)


def build_answer_loss(auxiliary: AuxConfidenceSettings | None) -> LossFunction:
    """The summed cross-entropy of the answers. Logs the share of labels that the model agrees with.

    With `auxiliary`, the model's own hardened predictions are mixed into the labels; the inputs must then be a full step.
    """

    def loss(logprobs: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        p_first = inputs["p_first"]
        targets = torch.stack([p_first, 1.0 - p_first], dim=1)
        margins = (logprobs[:, 0] - logprobs[:, 1]) * (targets[:, 0] - targets[:, 1]).sign()
        weight = losses.linear_warmup(auxiliary.weight, auxiliary.warmup_ratio, progress) if auxiliary else 0.0
        pair_losses = (
            losses.aux_confidence_loss(logprobs, targets, prediction_weight=weight)
            if weight
            else losses.answer_cross_entropy(logprobs, targets)
        )
        return pair_losses.sum(), {"accuracy": float(losses.preference_accuracy(margins.detach()))}

    return loss
