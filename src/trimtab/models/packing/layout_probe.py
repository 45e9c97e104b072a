"""Compute hidden states of pair batches, and select the batch layout that a model supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from trimtab.core.runtime import packs_on_gpu
from trimtab.errors import ModelError
from trimtab.models.lm_head import get_lm_head
from trimtab.models.packing import attention
from trimtab.models.packing.pair_batch import (
    PADDING,
    SECOND,
    BatchLayout,
    PairBatch,
    TokenizedPair,
    build_attention_mask,
    collate_pairs,
)
from trimtab.models.packing.varlen_attention import VARLEN_ATTENTION_NAME, register_varlen_attention
from trimtab.models.sharding import is_sharded, run_in_root

_PACKED_ATTENTION = (attention.ATTENTION_NAME, VARLEN_ATTENTION_NAME)
BATCH_LAYOUTS: tuple[BatchLayout, ...] = ("packed", "padded", "separate")
# Exceptions that model code raises for inputs that it does not support.
UNSUPPORTED_INPUT_ERRORS = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
LAYOUT_DESCRIPTIONS = {
    "packed": "packed pairs",
    "padded": "padded pairs",
    "separate": "one sequence per response",
}


def unwrap_adapter(model: Any) -> Any:
    """The causal language model itself. An adapter is inside its layers and stays active."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class DropoutDisabled(nn.Module):
    """A trainable wrapper around a causal language model that keeps the model's own dropout off, so that training computes what
    inference computes. Dropout noise would make policy and reference differ. Dropout of a LoRA adapter is on in training."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def is_distributed_loading_by_transformers(self) -> bool:
        """Whether the model is sharded: `transformers.Trainer` must not divide it again."""
        return is_sharded(unwrap_adapter(self.model))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # Some families call dropout functions that check the module's mode, so p = 0 alone would not disable all of it.
        self.model.eval()
        for module in self.model.modules():
            dropout = getattr(module, "lora_dropout", None)
            if isinstance(dropout, nn.Module):
                dropout.train(mode)
        return self


def compute_hidden_states(model: Any, batch: PairBatch, cache: Any = None) -> Tensor:
    """The last hidden states of all tokens of the batch, flattened: shape (tokens, d). Adds keys and values to `cache` if
    one is given."""
    causal = unwrap_adapter(model)
    config = causal.config
    inputs: dict[str, Any] = {"position_ids": batch.positions}
    if config._attn_implementation in _PACKED_ATTENTION and batch.tokens.shape[0] == 1:
        layout = attention.PackedLayout(tuple(map(tuple, batch.lengths.tolist())), int(batch.prefix_length))
        inputs |= build_packed_inputs(causal, layout)
    elif cache is None and not bool((batch.segments == SECOND).any()):
        # Ordinary sequences, which every model supports, including those without position ids or 4-D masks.
        inputs = {"attention_mask": (batch.segments != PADDING).long()}
    else:
        inputs["attention_mask"] = build_masks_by_layer_type(config, lambda window: build_attention_mask(batch, window))
    if cache is not None:
        inputs["past_key_values"] = cache
    states = get_backbone(causal)(input_ids=batch.tokens, use_cache=cache is not None, **inputs).last_hidden_state
    return states.reshape(-1, states.shape[-1])  # type: ignore[no-any-return]


def get_backbone(causal: Any) -> Any:
    """The model without its output head."""
    return causal.get_decoder() if causal.base_model is causal else causal.base_model


def build_packed_inputs(causal: Any, layout: attention.PackedLayout) -> dict[str, Any]:
    """Model inputs for packed rows, besides tokens and positions."""
    # transformers passes a 4-D mask through unchanged, so it builds none. The layout determines the attention.
    placeholder = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=causal.device)
    return {"attention_mask": build_masks_by_layer_type(causal.config, lambda _: placeholder), "layout": layout}


def build_masks_by_layer_type(config: Any, build_mask: Callable[[int | None], Tensor]) -> Any:
    """Masks in the form that the model expects: one tensor, or one per layer type if the model mixes them.

    `build_mask` takes the size of the sliding window, or None, and returns a boolean mask, True for visible keys.
    """
    layer_types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not layer_types:
        layer_types = {"sliding_attention" if window else "full_attention"}
    masks = {
        layer_type: build_mask(window if layer_type == "sliding_attention" else None)
        for layer_type in sorted(layer_types)
    }
    # Eager attention adds its mask to the scores; the other implementations expect a boolean mask.
    if config._attn_implementation == "eager":
        masks = {layer_type: _to_additive_mask(mask) for layer_type, mask in masks.items()}
    return masks if len(masks) > 1 else next(iter(masks.values()))


def _to_additive_mask(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.bfloat16).min)


@torch.no_grad()
def select_layout(model: Any) -> BatchLayout:
    """Select the fastest batch layout in which the model gives the same states as for each response alone.

    This is tested on the model itself: some families derive positions from the mask, add biases of their own, or do not
    support a layout. The model keeps the attention implementation that the layout needs. Raises `ModelError` if even separate
    texts do not reproduce the model's own logits.
    """
    causal = unwrap_adapter(model)
    if causal.config._attn_implementation in _PACKED_ATTENTION:
        return "packed"
    _check_separate_texts(model)
    packed = _register_packed_attention(causal.device.type)
    if packed is not None and causal.config._attn_implementation == "sdpa":
        causal.config._attn_implementation = packed
        if _layout_agrees(model, "packed"):
            return "packed"
        causal.config._attn_implementation = "sdpa"
    return "padded" if _layout_agrees(model, "padded") else "separate"


def _register_packed_attention(device_type: str) -> str | None:
    """The name of the packed attention for this type of device, or None if pairs are padded on it. The blocks of a CPU would
    leave a GPU idle."""
    if device_type == "cpu":
        attention.register_attention()
        return attention.ATTENTION_NAME
    if device_type == "cuda" and packs_on_gpu():
        register_varlen_attention()
        return VARLEN_ATTENTION_NAME
    return None


@torch.no_grad()
def require_mask_support(model: Any) -> None:
    """Raise `ModelError` if the model does not support attention masks per token. Without them it can be scored and
    trained, but it cannot generate in batches or be prompted."""
    causal = unwrap_adapter(model)
    if uses_packed_attention(model):
        return
    ids = _random_token_ids(causal)
    try:
        _compute_predictor_states(model, [TokenizedPair(prompt=ids[:8], first=ids[8:17], second=ids[17:24])], "padded")
    except UNSUPPORTED_INPUT_ERRORS as error:
        raise ModelError(
            f"{type(causal).__name__} can be scored and trained, but cannot generate or be prompted: it does not support the "
            f"attention masks that this requires ({error}); choose a model of a family other than {causal.config.model_type}"
        ) from error


def uses_packed_attention(model: Any) -> bool:
    """Whether the model generates and is prompted in packed rows, which only a CPU does."""
    return bool(unwrap_adapter(model).config._attn_implementation == attention.ATTENTION_NAME)


def _check_separate_texts(model: Any) -> None:
    """Compare two texts, padded to one length, with the model's own logits of each."""
    causal, name = unwrap_adapter(model), type(unwrap_adapter(model)).__name__
    ids = _random_token_ids(causal)
    texts = [TokenizedPair(prompt=ids[:8], first=ids[8:17]), TokenizedPair(prompt=ids[17:20], first=ids[20:24])]
    try:
        states = _compute_predictor_states(model, texts, "separate")
        logits = run_in_root(causal, lambda: get_lm_head(causal)(states))
    except UNSUPPORTED_INPUT_ERRORS as error:
        raise ModelError(f"{name}: cannot run its output head separately from its layers: {error}") from error
    model_logits = [_compute_model_logits(causal, text) for text in texts]
    predictor_logits = [each[len(text.prompt) - 1 : -1] for each, text in zip(model_logits, texts, strict=True)]
    relative_error = _relative_error(logits, torch.cat([*predictor_logits, *(each[-1:] for each in model_logits)]))
    # NaN weights are reported when they are read.
    if relative_error >= _tolerance(logits):
        raise ModelError(
            f"{name} computes logits in a way that its output head alone does not reproduce: the relative error is "
            f"{relative_error:.2g}; choose another model, or add its family ({causal.config.model_type}) to "
            "trimtab/models/lm_head.py"
        )


def _compute_model_logits(causal: Any, text: TokenizedPair) -> Tensor:
    ids = torch.tensor([text.prompt + text.first], device=causal.device)
    return causal(input_ids=ids, use_cache=False).logits[0]  # type: ignore[no-any-return]


def _layout_agrees(model: Any, layout: BatchLayout) -> bool:
    ids = _random_token_ids(unwrap_adapter(model))
    pairs = [
        TokenizedPair(prompt=ids[:8], first=ids[8:17], second=ids[17:24]),
        TokenizedPair(prompt=ids[24:27], first=ids[27:]),
    ]
    try:
        states = _compute_predictor_states(model, pairs, layout)
    except UNSUPPORTED_INPUT_ERRORS:
        return False
    return _relative_error(states, _compute_predictor_states(model, pairs, "separate")) < _tolerance(states)


def _random_token_ids(causal: Any) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(0)
    vocab_size = causal.config.get_text_config().vocab_size
    return tuple(int(i) for i in torch.randint(5, vocab_size, (31,), generator=generator))


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    """The relative error of rows, shape (n, d) each: in float32 the largest over the rows, otherwise the root mean square.

    In lower precision, rounding alone can move one row in many by more than a tenth (Gemma-3-270M after training, next to a
    longer text). A wrong mask or position moves many rows by far more.
    """
    errors = (actual - expected).float().norm(dim=1) / expected.float().norm(dim=1)
    return float(errors.max() if actual.dtype == torch.float32 else errors.square().mean().sqrt())


def _tolerance(states: Tensor) -> float:
    return 1e-4 if states.dtype == torch.float32 else 0.1


def _compute_predictor_states(model: Any, pairs: list[TokenizedPair], layout: BatchLayout) -> Tensor:
    """The states that predict each response token, then those of the last tokens. Their order does not depend on the
    layout."""
    causal = unwrap_adapter(model)
    batch = collate_pairs(pairs, layout, 0).to(causal.device)
    last = batch.last_token_indices
    states = run_in_root(causal, lambda: compute_hidden_states(model, batch))
    return states[torch.cat([batch.source_indices, last[last >= 0]])]
