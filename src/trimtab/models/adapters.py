"""LoRA adapters on a causal model: put on for training, saved, loaded, and merged."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from trimtab.models.lora_fusion import fuse_lora_layers


def add_adapter(model: Any, *, rank: int, alpha: int | None, seed: int) -> Any:
    """The model with a fresh LoRA adapter on every linear layer but the output head; its other weights are frozen.

    Adapter weights are float32 and B is zero, so that at first the model answers exactly as without it. No dropout: the
    policy must equal the reference before the first step.
    """
    config = LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with temporary_seed(seed), _suppress_peft_warnings():
        adapted = get_peft_model(model, config)
    for module in adapted.modules():
        # under autocast the layer's input stays narrow and A is narrowed instead: a twentieth of the bytes to convert
        if hasattr(module, "lora_A"):
            module.cast_input_dtype_enabled = False
    fuse_lora_layers(adapted)
    return adapted


def load_adapter(model: Any, folder: Path) -> Any:
    """The model with a saved adapter in force, in the model's own precision, for reading and writing text."""
    with _suppress_peft_warnings():
        adapted = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False)
    return adapted.to(next(model.parameters()).dtype).eval()


def merge_adapter(adapted: Any) -> Any:
    """The plain model with the adapter's change added to its weights: summed in float32, then rounded once."""
    dtype = next(adapted.get_base_model().parameters()).dtype
    return adapted.float().merge_and_unload().to(dtype)


def has_bf16_weights(model: Any) -> bool:
    """Whether the model's weights are bfloat16."""
    return any(weight.dtype == torch.bfloat16 for weight in model.parameters())


def autocast_bf16(model: Any, enabled: bool) -> AbstractContextManager[Any]:
    """Matrix products in bfloat16 on the model's device where `on`; nothing otherwise."""
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16) if enabled else nullcontext()


@contextmanager
def _suppress_peft_warnings() -> Iterator[None]:
    """What peft still calls of transformers is announced to go, and GPT-2's layers lie the other way round, which peft sees
    for itself; nothing a user could do about either."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        yield


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Runs with torch's generator at this seed and leaves it as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
