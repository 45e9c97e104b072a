"""Attention over rows that lie one behind another without padding, each a prompt and the branches that follow it.

A mask over all tokens would be nearly empty. Here each row is two dense products: the prompt looks at itself, and both
branches look at the prompt and at themselves. On a processor this takes half the time of a masked attention call, and
nothing is padded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# What the model's settings call this attention. Without a layout it gives what scaled dot product attention gives.
NAME = "trimtab_rows"


@dataclass(frozen=True, slots=True)
class _Block:
    """Queries `start:stop` of the packed tokens, which look at the keys from `origin` to `stop`."""

    origin: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows lie: `lengths` holds the tokens of each row's prompt, first and second response."""

    lengths: tuple[tuple[int, int, int], ...]
    _masks: dict[tuple[int | None, torch.dtype], list[Tensor]] = field(default_factory=dict)

    def blocks(self) -> list[_Block]:
        found, origin = [], 0
        for prompt, first, second in self.lengths:
            found.append(_Block(origin, origin, origin + prompt))
            found.append(_Block(origin, origin + prompt, origin + prompt + first + second))
            origin += prompt + first + second
        return found

    def masks(self, window: int | None, dtype: torch.dtype) -> list[Tensor]:
        """What is added to the scores of each block: zero or minus infinity, shape (queries, keys)."""
        longest = max(prompt + max(first, second) for prompt, first, second in self.lengths)
        key = (window if window is not None and window < longest else None, dtype)
        if key not in self._masks:
            self._masks[key] = [mask for row in self.lengths for mask in _row_masks(row, *key)]
        return self._masks[key]


def _row_masks(row: tuple[int, int, int], window: int | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    prompt, first, _ = row
    place = torch.arange(sum(row))
    position = torch.where(place < prompt + first, place, place - first)
    branch = (place >= prompt).int() + (place >= prompt + first).int()
    seen = (place[:, None] >= place) & ((branch[:, None] == branch) | (branch == 0))
    if window is not None:
        seen &= position[:, None] - position < window
    added = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf"))
    return added[:prompt, :prompt].contiguous(), added[prompt:].contiguous()


def register() -> None:
    """Makes the attention known to transformers, under `NAME`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: queries of shape (1, heads, tokens, d), states of shape (1, tokens, heads, d).

    Raises `ValueError` for what a layout cannot be combined with: soft caps, sinks, added biases.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None and query.shape[2] == 1 and not _odd(rest) and query.device.type == "cpu":
        return _next_token(query, key, value, attention_mask, scale), None
    if layout is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
    if odd := _odd(rest):
        raise ValueError(f"{type(module).__name__}: attention over packed rows knows no {odd}")
    return _Attention.apply(query[0], key[0], value[0], layout, scale, sliding_window)[None], None  # type: ignore[no-untyped-call]


def _odd(rest: dict[str, Any]) -> str:
    """The first of what these ways of computing do not know, where there is any."""
    found = [name for name in ("softcap", "s_aux", "position_bias") if rest.get(name) is not None]
    return found[0] if found else "dropout" if rest.get("dropout") else ""


def _next_token(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention of one new token a row, shape (rows, 1, heads, d): two small products.

    On a processor the fused call takes fifteen times as long for this shape, and needs the keys of grouped heads repeated.
    """
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    scores = torch.matmul(query.reshape(rows, groups, heads // groups, width), key.transpose(2, 3)).float().mul_(scale)
    if mask is not None:
        scores = scores.masked_fill_(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    found = torch.matmul(scores.softmax(-1).to(value.dtype), value)
    return found.reshape(rows, 1, heads, width)


class _Attention(torch.autograd.Function):
    """softmax(scale q k' + mask) v, block by block, with the probabilities kept for the way back."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, window: int | None
    ) -> Tensor:
        heads, tokens, width = query.shape
        groups = len(key)
        query = (query * scale).view(groups, heads // groups, tokens, width)
        out = query.new_empty(tokens, heads, width)
        training = any(ctx.needs_input_grad)
        kept = []
        for block, mask in zip(layout.blocks(), layout.masks(window, query.dtype), strict=True):
            if block.start == block.stop:
                continue
            asked = query[:, :, block.start : block.stop].reshape(groups, -1, width)
            scores = torch.bmm(asked, key[:, block.origin : block.stop].transpose(1, 2))
            scores.view(groups, -1, *mask.shape).add_(mask)
            shares = torch.softmax(scores, -1)
            found = torch.bmm(shares, value[:, block.origin : block.stop])
            out[block.start : block.stop] = found.view(heads, -1, width).transpose(0, 1)
            if training:
                kept.append(shares)
        if training:
            ctx.save_for_backward(query, key, value, *kept)
            ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, *kept = ctx.saved_tensors
        groups, per, tokens, width = query.shape
        grad = grads[0].to(query.dtype)
        to_query = torch.empty_like(query)
        to_key, to_value = torch.zeros_like(key), torch.zeros_like(value)
        shares_of = iter(kept)
        for block in ctx.layout.blocks():
            if block.start == block.stop:
                continue
            asked, seen = slice(block.start, block.stop), slice(block.origin, block.stop)
            shares = next(shares_of)
            part = grad[asked].transpose(0, 1).reshape(groups, -1, width)
            questions = query[:, :, asked].reshape(groups, -1, width)
            to_value[:, seen] += torch.bmm(shares.transpose(1, 2), part)
            slopes = torch.bmm(part, value[:, seen].transpose(1, 2))
            slopes = torch._softmax_backward_data(slopes, shares, -1, shares.dtype)
            to_query[:, :, asked] = torch.bmm(slopes, key[:, seen]).view(groups, per, -1, width)
            to_key[:, seen] += torch.bmm(slopes.transpose(1, 2), questions)
        to_query = to_query.mul_(ctx.scale).view(groups * per, tokens, width)
        return to_query, to_key, to_value, None, None, None
