"""From pairs laid out in a form to a model's hidden states, and which form a model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

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

BATCH_LAYOUTS: tuple[BatchLayout, ...] = ("packed", "padded", "separate")
# What model code raises when it is given inputs that it does not know.
UNSUPPORTED_INPUT_ERRORS = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
LAYOUT_DESCRIPTIONS = {
    "packed": "pair rows, packed",
    "padded": "pair rows, padded",
    "separate": "one text a response",
}


def unwrap_adapter(model: Any) -> Any:
    """The causal model itself: an adapter lives inside its layers and stays in force."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class DropoutDisabled(nn.Module):
    """What is trained around a causal language model. The model computes in training as it does in reading: dropout that
    its settings name stays off, since policy and reference would otherwise differ by its noise."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # some families drop by functions that look at their module's mode, so setting p = 0 would not reach all of it
        self.model.eval()
        return self


def compute_hidden_states(model: Any, batch: PairBatch, cache: Any = None) -> Tensor:
    """The model's last hidden states of every token of the batch, flattened: shape (tokens, d). Keys and values go into the
    cache where one is given."""
    causal = unwrap_adapter(model)
    config = causal.config
    given: dict[str, Any] = {"position_ids": batch.positions}
    if config._attn_implementation == attention.ATTENTION_NAME and batch.tokens.shape[0] == 1:
        layout = attention.PackedLayout(tuple(map(tuple, batch.lengths.tolist())), int(batch.prefix_length))
        given |= build_packed_inputs(causal, layout)
    elif cache is None and not bool((batch.segments == SECOND).any()):
        # ordinary texts: any model reads them, those that know no positions and no masks of more dimensions among them
        given = {"attention_mask": (batch.segments != PADDING).long()}
    else:
        given["attention_mask"] = build_masks_by_layer_type(config, lambda window: build_attention_mask(batch, window))
    if cache is not None:
        given["past_key_values"] = cache
    states = get_backbone(causal)(input_ids=batch.tokens, use_cache=cache is not None, **given).last_hidden_state
    return states.reshape(-1, states.shape[-1])  # type: ignore[no-any-return]


def get_backbone(causal: Any) -> Any:
    """The model without its output head."""
    return causal.get_decoder() if causal.base_model is causal else causal.base_model


def build_packed_inputs(causal: Any, layout: attention.PackedLayout) -> dict[str, Any]:
    """What a model is given besides tokens and positions where rows are packed."""
    # a mask of four dimensions is taken as it is, so that none is made: the layout says what may be seen
    none = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=causal.device)
    return {"attention_mask": build_masks_by_layer_type(causal.config, lambda _: none), "layout": layout}


def build_masks_by_layer_type(config: Any, make: Callable[[int | None], Tensor]) -> Any:
    """Masks as the model wants them: one tensor, or one for each kind of layer where the kinds are mixed.

    `make` says what may be seen, given the width of a sliding window or None.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not kinds:
        kinds = {"sliding_attention" if window else "full_attention"}
    seen = {kind: make(window if kind == "sliding_attention" else None) for kind in sorted(kinds)}
    # eager attention adds its mask to the scores, the other kinds read it as what may be seen
    made = (
        {kind: _to_additive_mask(mask) for kind, mask in seen.items()}
        if config._attn_implementation == "eager"
        else seen
    )
    return made if len(made) > 1 else next(iter(made.values()))


def _to_additive_mask(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.bfloat16).min)


@torch.no_grad()
def select_layout(model: Any) -> BatchLayout:
    """The first form in which the model reads pairs as it reads each response alone, asked of the model itself.

    Some families derive positions from the mask, add biases of their own or know no layout. The model is left with
    the attention that the form wants. On a graphics card rows are padded: blocks one after another would leave it idle.
    Raises `ModelError` where even texts read alone do not give the logits that the model itself gives.
    """
    causal = unwrap_adapter(model)
    if causal.config._attn_implementation == attention.ATTENTION_NAME:
        return "packed"
    _check_separate_texts(model)
    if causal.device.type == "cpu" and causal.config._attn_implementation == "sdpa":
        attention.register_attention()
        causal.config._attn_implementation = attention.ATTENTION_NAME
        if _layout_agrees(model, "packed"):
            return "packed"
        causal.config._attn_implementation = "sdpa"
    return "padded" if _layout_agrees(model, "padded") else "separate"


@torch.no_grad()
def require_mask_support(model: Any) -> None:
    """Raises `ModelError` where the model does not take masks that say what each token may look at, without which it can be
    scored and trained, and neither write many answers at a time nor be asked."""
    causal = unwrap_adapter(model)
    if uses_packed_attention(model):
        return
    ids = _random_token_ids(causal)
    try:
        _compute_predictor_states(model, [TokenizedPair(prompt=ids[:8], first=ids[8:17], second=ids[17:24])], "padded")
    except UNSUPPORTED_INPUT_ERRORS as error:
        raise ModelError(
            f"{type(causal).__name__} can be scored and trained, and can neither write nor be asked: it does not take the "
            f"masks that this needs ({error}); choose a model of another family ({causal.config.model_type} it is)"
        ) from error


def uses_packed_attention(model: Any) -> bool:
    """Whether the model was found to take packed rows."""
    return bool(unwrap_adapter(model).config._attn_implementation == attention.ATTENTION_NAME)


def _check_separate_texts(model: Any) -> None:
    """Two texts padded to one length, against the model's own logits of each."""
    causal, name = unwrap_adapter(model), type(unwrap_adapter(model)).__name__
    ids = _random_token_ids(causal)
    texts = [TokenizedPair(prompt=ids[:8], first=ids[8:17]), TokenizedPair(prompt=ids[17:20], first=ids[20:24])]
    try:
        found = get_lm_head(causal)(_compute_predictor_states(model, texts, "separate"))
    except UNSUPPORTED_INPUT_ERRORS as error:
        raise ModelError(f"{name} cannot be read with its output head apart from its layers: {error}") from error
    own = [_compute_model_logits(causal, row) for row in texts]
    predicting = [logits[len(row.prompt) - 1 : -1] for logits, row in zip(own, texts, strict=True)]
    away = _relative_error(found, torch.cat([*predicting, *(logits[-1:] for logits in own)]))
    # weights that are not numbers are told of where they are read
    if away >= _tolerance(found):
        raise ModelError(
            f"{name} does more to its logits than its output head: they are {away:.2g} of their size away from what the head "
            f"gives; choose another model, or add its family ({causal.config.model_type}) to trimtab/models/lm_head.py"
        )


def _compute_model_logits(causal: Any, row: TokenizedPair) -> Tensor:
    ids = torch.tensor([row.prompt + row.first], device=causal.device)
    return causal(input_ids=ids, use_cache=False).logits[0]  # type: ignore[no-any-return]


def _layout_agrees(model: Any, form: BatchLayout) -> bool:
    ids = _random_token_ids(unwrap_adapter(model))
    rows = [
        TokenizedPair(prompt=ids[:8], first=ids[8:17], second=ids[17:24]),
        TokenizedPair(prompt=ids[24:27], first=ids[27:]),
    ]
    try:
        found = _compute_predictor_states(model, rows, form)
    except UNSUPPORTED_INPUT_ERRORS:
        return False
    return _relative_error(found, _compute_predictor_states(model, rows, "separate")) < _tolerance(found)


def _random_token_ids(causal: Any) -> tuple[int, ...]:
    draw = torch.Generator().manual_seed(0)
    return tuple(int(i) for i in torch.randint(5, causal.config.get_text_config().vocab_size, (31,), generator=draw))


def _relative_error(found: Tensor, wanted: Tensor) -> float:
    """How far the rows, shape (n, d) each, are from those that are wanted, as a share of their size.

    In float32 the farthest row's. In rougher types rounding alone can move one row in many by more than a tenth (Gemma-3-270M
    once it was trained, beside a longer text), where a wrong mask or position moves many rows by far more: there it is the root
    of the mean square over the rows.
    """
    rows = (found - wanted).float().norm(dim=1) / wanted.float().norm(dim=1)
    return float(rows.max() if found.dtype == torch.float32 else rows.square().mean().sqrt())


def _tolerance(states: Tensor) -> float:
    return 1e-4 if states.dtype == torch.float32 else 0.1


def _compute_predictor_states(model: Any, rows: list[TokenizedPair], form: BatchLayout) -> Tensor:
    """The states that predict each response token, then those of the last ones: in one order, whatever the form."""
    batch = collate_pairs(rows, form, 0).to(unwrap_adapter(model).device)
    return compute_hidden_states(model, batch)[
        torch.cat([batch.source_indices, batch.last_token_indices[batch.last_token_indices >= 0]])
    ]
