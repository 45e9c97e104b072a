"""Adds the LoRA adapter that the training settings describe."""

from __future__ import annotations

from typing import Any

from trimtab.config.training import TrainingSettings
from trimtab.models.adapters import add_adapter


def add_lora(model: Any, settings: TrainingSettings, seed: int) -> Any:
    """The model with a new adapter whose weights are trained. `settings.lora_r` must be above 0."""
    return add_adapter(
        model,
        rank=settings.lora_r,
        alpha=settings.lora_alpha,
        target_modules=settings.lora_target_modules,
        dropout=settings.lora_dropout,
        seed=seed,
    )
