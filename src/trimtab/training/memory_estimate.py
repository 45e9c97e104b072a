"""Estimates the memory that a training needs, from the shapes of a model's weights. Loads no weights and no torch."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.config.training import (
    DpoSettings,
    PreferenceModelSettings,
    RewardModelSettings,
    SftSettings,
    TrainingSettings,
)
from trimtab.models.model_shape import ModelShape

# Python, torch and its libraries, and the kernels and buffers that they keep.
PROCESS_BYTES = 700_000_000
# A trained weight, its gradient and the two averages of AdamW, in float32.
TRAINED_BYTES = 16
# Rows of logits that exist at one time (`models.scoring.logprobs`).
LOGITS_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHardware:
    """What a training runs with: bytes per value of the model's dtype, the token budget, and the processes that divide the
    frozen weights. A GPU keeps no attention probabilities."""

    value_bytes: int
    token_budget: int
    on_gpu: bool = False
    num_shards: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes at the peak of a training: frozen weights, trained weights with their optimizer, activations, logits, process."""

    frozen: int
    trained: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.frozen + self.trained + self.activations + self.logits + PROCESS_BYTES


def estimate_training_memory(
    shape: ModelShape, settings: TrainingSettings, max_length: int, hardware: TrainingHardware, *, load_in_4bit: bool
) -> TrainingMemory:
    """The estimate for texts of up to `max_length` tokens. It was 0.88 to 1.09 times four measured peaks."""
    tokens = _count_pass_tokens(settings, max_length, hardware.token_budget)
    per_layer = hardware.value_bytes * tokens * shape.linear_width // shape.num_layers
    if not hardware.on_gpu:
        per_layer += hardware.value_bytes * tokens * shape.num_heads * max_length
    # the inputs of the layers, and one layer that is computed again
    checkpointed = hardware.value_bytes * tokens * shape.hidden_size * shape.num_layers + per_layer
    logits = 0
    if not isinstance(settings, RewardModelSettings):
        # logits and their softmax in float32, and a copy for each product in a shorter dtype
        logits = LOGITS_ROWS * shape.vocab_size * (4 if hardware.value_bytes == 4 else 8)
    if settings.lora_r:
        frozen = shape.count_weight_bytes(hardware.value_bytes, load_in_4bit=load_in_4bit) // hardware.num_shards
        trained = TRAINED_BYTES * settings.lora_r * shape.measure_linear_width(settings.lora_target_modules)
    else:
        # autocast keeps a copy of the weights in the shorter dtype
        frozen = shape.parameters * 2 if hardware.value_bytes == 2 else 0
        trained, logits = TRAINED_BYTES * shape.parameters, 2 * logits
    return TrainingMemory(
        frozen=frozen,
        trained=trained,
        activations=checkpointed if settings.gradient_checkpointing else per_layer * shape.num_layers,
        logits=logits,
    )


def _count_pass_tokens(settings: TrainingSettings, max_length: int, token_budget: int) -> int:
    """Tokens of the largest forward pass: the token budget, one pair if that is longer, or the whole batch for some losses."""
    longest = max_length if isinstance(settings, SftSettings) else 2 * max_length
    full_batch = (isinstance(settings, DpoSettings) and settings.loss_type == "dr_dpo") or (
        isinstance(settings, PreferenceModelSettings) and settings.aux_confidence is not None
    )
    return settings.batch_size * longest if full_batch else max(token_budget, longest)
