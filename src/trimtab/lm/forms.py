"""From pairs laid out in a form to a model's hidden states, and which form a model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from trimtab.errors import ModelError
from trimtab.lm import attention
from trimtab.lm.head import head
from trimtab.lm.rows import PADDING, SECOND, Batch, Form, Row, attention_mask, lay_out

FORMS: tuple[Form, ...] = ("packed", "padded", "alone")
# What model code raises when it is given inputs that it does not know.
UNREAD = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
SAID = {
    "packed": "pair rows, packed",
    "padded": "pair rows, padded",
    "alone": "one text a response",
}


def unwrapped(model: Any) -> Any:
    """The causal model itself: an adapter lives inside its layers and stays in force."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class Steady(nn.Module):
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


def last_states(model: Any, batch: Batch, cache: Any = None) -> Tensor:
    """The model's last hidden states of every token of the batch, flattened: shape (tokens, d). Keys and values go into the
    cache where one is given."""
    causal = unwrapped(model)
    config = causal.config
    given: dict[str, Any] = {"position_ids": batch.positions}
    if config._attn_implementation == attention.NAME and batch.tokens.shape[0] == 1:
        layout = attention.Layout(tuple(map(tuple, batch.lengths.tolist())), int(batch.shared))
        given |= packed_inputs(causal, layout)
    elif cache is None and not bool((batch.segments == SECOND).any()):
        # ordinary texts: any model reads them, those that know no positions and no masks of more dimensions among them
        given = {"attention_mask": (batch.segments != PADDING).long()}
    else:
        given["attention_mask"] = masks_by_kind(config, lambda window: attention_mask(batch, window))
    if cache is not None:
        given["past_key_values"] = cache
    states = body(causal)(input_ids=batch.tokens, use_cache=cache is not None, **given).last_hidden_state
    return states.reshape(-1, states.shape[-1])  # type: ignore[no-any-return]


def body(causal: Any) -> Any:
    """The model without its output head."""
    return causal.get_decoder() if causal.base_model is causal else causal.base_model


def packed_inputs(causal: Any, layout: attention.Layout) -> dict[str, Any]:
    """What a model is given besides tokens and positions where rows are packed."""
    # a mask of four dimensions is taken as it is, so that none is made: the layout says what may be seen
    none = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=causal.device)
    return {"attention_mask": masks_by_kind(causal.config, lambda _: none), "layout": layout}


def masks_by_kind(config: Any, make: Callable[[int | None], Tensor]) -> Any:
    """Masks as the model wants them: one tensor, or one for each kind of layer where the kinds are mixed.

    `make` says what may be seen, given the width of a sliding window or None.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if not kinds:
        kinds = {"sliding_attention" if window else "full_attention"}
    seen = {kind: make(window if kind == "sliding_attention" else None) for kind in sorted(kinds)}
    # eager attention adds its mask to the scores, the other kinds read it as what may be seen
    made = {kind: _added(mask) for kind, mask in seen.items()} if config._attn_implementation == "eager" else seen
    return made if len(made) > 1 else next(iter(made.values()))


def _added(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.bfloat16).min)


@torch.no_grad()
def choose_form(model: Any) -> Form:
    """The first form in which the model reads pairs as it reads each response alone, asked of the model itself.

    Some families derive positions from the mask, add biases of their own or know no layout. The model is left with
    the attention that the form wants. On a graphics card rows are padded: blocks one after another would leave it idle.
    Raises `ModelError` where even texts read alone do not give the logits that the model itself gives.
    """
    causal = unwrapped(model)
    if causal.config._attn_implementation == attention.NAME:
        return "packed"
    _check_alone(model)
    if causal.device.type == "cpu" and causal.config._attn_implementation == "sdpa":
        attention.register()
        causal.config._attn_implementation = attention.NAME
        if _agrees(model, "packed"):
            return "packed"
        causal.config._attn_implementation = "sdpa"
    return "padded" if _agrees(model, "padded") else "alone"


@torch.no_grad()
def require_masks(model: Any) -> None:
    """Raises `ModelError` where the model does not take masks that say what each token may look at, without which it can be
    scored and trained, and neither write many answers at a time nor be asked."""
    causal = unwrapped(model)
    if is_packed(model):
        return
    ids = _drawn(causal)
    try:
        _read(model, [Row(prompt=ids[:8], first=ids[8:17], second=ids[17:24])], "padded")
    except UNREAD as error:
        raise ModelError(
            f"{type(causal).__name__} can be scored and trained, and can neither write nor be asked: it does not take the "
            f"masks that this needs ({error}); choose a model of another family ({causal.config.model_type} it is)"
        ) from error


def is_packed(model: Any) -> bool:
    """Whether the model was found to take packed rows."""
    return bool(unwrapped(model).config._attn_implementation == attention.NAME)


def _check_alone(model: Any) -> None:
    """Two texts padded to one length, against the model's own logits of each."""
    causal, name = unwrapped(model), type(unwrapped(model)).__name__
    ids = _drawn(causal)
    texts = [Row(prompt=ids[:8], first=ids[8:17]), Row(prompt=ids[17:20], first=ids[20:24])]
    try:
        found = head(causal)(_read(model, texts, "alone"))
    except UNREAD as error:
        raise ModelError(f"{name} cannot be read with its output head apart from its layers: {error}") from error
    own = [_own_logits(causal, row) for row in texts]
    predicting = [logits[len(row.prompt) - 1 : -1] for logits, row in zip(own, texts, strict=True)]
    away = _away(found, torch.cat([*predicting, *(logits[-1:] for logits in own)]))
    # weights that are not numbers are told of where they are read
    if away >= _tolerance(found):
        raise ModelError(
            f"{name} does more to its logits than its output head: they are {away:.2g} of their size away from what the head "
            f"gives; choose another model, or add its family ({causal.config.model_type}) to trimtab/lm/head.py"
        )


def _own_logits(causal: Any, row: Row) -> Tensor:
    ids = torch.tensor([row.prompt + row.first], device=causal.device)
    return causal(input_ids=ids, use_cache=False).logits[0]  # type: ignore[no-any-return]


def _agrees(model: Any, form: Form) -> bool:
    ids = _drawn(unwrapped(model))
    rows = [Row(prompt=ids[:8], first=ids[8:17], second=ids[17:24]), Row(prompt=ids[24:27], first=ids[27:])]
    try:
        found = _read(model, rows, form)
    except UNREAD:
        return False
    return _away(found, _read(model, rows, "alone")) < _tolerance(found)


def _drawn(causal: Any) -> tuple[int, ...]:
    draw = torch.Generator().manual_seed(0)
    return tuple(int(i) for i in torch.randint(5, causal.config.get_text_config().vocab_size, (31,), generator=draw))


def _away(found: Tensor, wanted: Tensor) -> float:
    """How far the rows, shape (n, d) each, are from those that are wanted, as a share of their size.

    In float32 the farthest row's. In rougher types rounding alone can move one row in many by more than a tenth (Gemma-3-270M
    once it was trained, beside a longer text), where a wrong mask or position moves many rows by far more: there it is the root
    of the mean square over the rows.
    """
    rows = (found - wanted).float().norm(dim=1) / wanted.float().norm(dim=1)
    return float(rows.max() if found.dtype == torch.float32 else rows.square().mean().sqrt())


def _tolerance(states: Tensor) -> float:
    return 1e-4 if states.dtype == torch.float32 else 0.1


def _read(model: Any, rows: list[Row], form: Form) -> Tensor:
    """The states that predict each response token, then those of the last ones: in one order, whatever the form."""
    batch = lay_out(rows, form, 0).to(unwrapped(model).device)
    return last_states(model, batch)[torch.cat([batch.sources, batch.lasts[batch.lasts >= 0]])]
