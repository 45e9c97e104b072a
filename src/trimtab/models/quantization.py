"""Models whose linear layers have 4-bit weights, as in QLoRA (Dettmers et al. 2023): NF4 of bitsandbytes, which also stores the
scales of the blocks in 8 bits. The output head and the embedding keep the model's dtype."""

from __future__ import annotations

import importlib.util
from typing import Any

from trimtab.errors import ModelError
from trimtab.models.silence_transformers import silence_transformers


def require_bitsandbytes() -> None:
    """Raises `ModelError` if bitsandbytes is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "load_in_4bit: the package bitsandbytes is missing: in Trimtab's folder, run pip install '.[quantization]'"
        )


def build_quantization_options(dtype: Any, device: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantize the weights on `device` while they are loaded, and compute in `dtype`."""
    from transformers import BitsAndBytesConfig

    require_bitsandbytes()
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def prepare_quantized_model(model: Any, name: str) -> None:
    """Makes 4-bit layers compute the same in training and inference. Raises `ModelError` for layers that are not supported."""
    import torch
    from bitsandbytes.nn import Linear4bit

    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    if not layers or any(layer.source_cls is not torch.nn.Linear for layer in layers):
        raise ModelError(
            f"load_in_4bit: {name} ({type(model).__name__}) has no plain linear layers to quantize; leave out load_in_4bit"
        )
    for layer in layers:
        # otherwise the first inference on a CPU repacks the weights for a kernel that has no gradient and rounds to bfloat16
        layer.support_avx512bf16_for_cpu = False


def is_quantized(model: Any) -> bool:
    """Whether the model, or the model below its adapter, has 4-bit weights."""
    return bool(getattr(model, "is_quantized", False))


def dequantize_model(model: Any) -> Any:
    """The model in main memory with the values of its 4-bit weights in its dtype. Changes the model itself."""
    with silence_transformers():
        plain = model.to("cpu").dequantize()
    plain.is_loaded_in_4bit = False
    return plain
