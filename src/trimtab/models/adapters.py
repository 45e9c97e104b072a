"""LoRA adapters on a causal language model: create, save, load and merge."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from trimtab.models.lora_fusion import fuse_lora_layers
from trimtab.models.quantization import dequantize_model, is_quantized


def add_adapter(
    model: Any,
    *,
    rank: int,
    alpha: int | None,
    seed: int,
    target_modules: Sequence[str] | None = None,
    dropout: float = 0.0,
) -> Any:
    """Add a new LoRA adapter, and freeze the other weights.

    `target_modules` are names of linear layers; by default all but the output head. Adapter weights are float32. B is zero, so
    the model's outputs are unchanged until the first step, even with `dropout` of the adapter's inputs. `alpha` defaults to
    `2 * rank`.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha or 2 * rank,
        target_modules="all-linear" if target_modules is None else list(target_modules),
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
    )
    with temporary_seed(seed), _suppress_peft_warnings():
        return _prepare_for_training(get_peft_model(model, config))


def continue_adapter(model: Any, folder: Path) -> Any:
    """Apply a saved adapter to the model that it was trained on, and train it further: in float32, as by `add_adapter`."""
    with _suppress_peft_warnings():
        return _prepare_for_training(PeftModel.from_pretrained(model, str(folder), is_trainable=True))


def load_adapter(model: Any, folder: Path) -> Any:
    """Apply a saved adapter to a model for inference, in the model's own precision."""
    with _suppress_peft_warnings():
        adapted = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False)
    return adapted.to(next(model.parameters()).dtype).eval()


def copy_adapter(adapted: Any, base: Any) -> Any:
    """Apply the adapter of a model to another copy of its base. Reads only the adapter, which is complete in every process."""
    with _suppress_peft_warnings():
        copy = get_peft_model(base, adapted.peft_config["default"])
    set_peft_model_state_dict(copy, get_peft_model_state_dict(adapted))
    return copy


def merge_adapter(adapted: Any) -> Any:
    """Merge the adapter into the base weights and return the plain model. The sum is float32 and is rounded once.

    A quantized base is dequantized first, in main memory.
    """
    if is_quantized(adapted):
        adapted = _dequantize_base(adapted)
    dtype = next(adapted.get_base_model().parameters()).dtype
    return adapted.float().merge_and_unload().to(dtype)


def _dequantize_base(adapted: Any) -> Any:
    """The same adapter on the dequantized base. peft could only merge it into weights that it quantizes again."""
    config, weights = adapted.peft_config["default"], get_peft_model_state_dict(adapted)
    with _suppress_peft_warnings():
        copy = get_peft_model(dequantize_model(adapted.unload()), config)
    set_peft_model_state_dict(copy, weights)
    return copy


def has_bf16_weights(model: Any) -> bool:
    """Whether any weight of the model is bfloat16."""
    return any(weight.dtype == torch.bfloat16 for weight in model.parameters())


def autocast_bf16(model: Any, enabled: bool) -> AbstractContextManager[Any]:
    """Compute matrix products in bfloat16 on the model's device if `enabled`; otherwise do nothing."""
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16) if enabled else nullcontext()


def _prepare_for_training(adapted: Any) -> Any:
    for module in adapted.modules():
        # Under autocast the layer's input stays in bfloat16 and A is cast instead: a twentieth of the bytes to convert.
        if hasattr(module, "lora_A"):
            module.cast_input_dtype_enabled = False
    fuse_lora_layers(adapted)
    return adapted


@contextmanager
def _suppress_peft_warnings() -> Iterator[None]:
    """Hide two peft warnings that users cannot act on: deprecated transformers calls, and GPT-2's transposed layers, which
    peft detects itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        yield


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Seed torch's random number generators inside the block and restore their state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
