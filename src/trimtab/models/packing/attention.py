"""Attention over packed rows: sequences without padding, each a prompt and the branches that follow it.

A mask over all tokens would be nearly empty. Instead each row is two dense products: the prompt attends to itself, and the
branches attend to the prompt and to themselves. A prefix shared by all rows may come first, once. On a CPU this takes half
the time of a masked attention call, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

# The name of this attention in the model's config. Without a layout it equals scaled dot product attention.
ATTENTION_NAME = "trimtab_packed"


@dataclass(frozen=True, slots=True)
class _AttentionBlock:
    """Queries `query_start:stop` of the packed tokens. They attend to the shared prefix from `prefix_start` on, and to the
    tokens `key_start:stop`."""

    key_start: int
    query_start: int
    stop: int
    prefix_start: int


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """Positions of the rows: `lengths` has the number of tokens of each row's prompt and of each of its branches.

    The first `prefix_length` tokens are the prefix of every row; `lengths` does not count them.
    """

    lengths: tuple[tuple[int, ...], ...]
    prefix_length: int = 0
    _masks: dict[tuple[int | None, torch.dtype], list[Tensor]] = field(default_factory=dict)

    def effective_window(self, window: int | None) -> int | None:
        """The sliding window, or None if no row is long enough for it to matter."""
        longest = self.prefix_length + max((row[0] + max(row[1:], default=0) for row in self.lengths), default=0)
        return window if window is not None and window < longest else None

    def blocks(self, window: int | None) -> list[_AttentionBlock]:
        """The blocks of the shared prefix, then of each row. `window` is a result of `effective_window`."""
        blocks = [_AttentionBlock(0, 0, self.prefix_length, self.prefix_length)] if self.prefix_length else []
        prefix_start = 0 if window is None else max(0, self.prefix_length - window + 1)
        key_start = self.prefix_length
        for row in self.lengths:
            stop = key_start + sum(row)
            bounds = (key_start, key_start + row[0], stop) if _splits_prompt(row) else (key_start, stop)
            blocks += [
                _AttentionBlock(key_start, *part, prefix_start) for part in pairwise(bounds) if part[0] < part[1]
            ]
            key_start = stop
        return blocks

    def masks(self, window: int | None, dtype: torch.dtype) -> list[Tensor]:
        """The additive mask of each block: zero or minus infinity, shape (queries, keys)."""
        key = (window, dtype)
        if key not in self._masks:
            masks = [mask for row in self.lengths for mask in _build_row_masks(row, self.prefix_length, window)]
            if self.prefix_length:
                masks = [*_build_row_masks((self.prefix_length,), 0, window), *masks]
            self._masks[key] = [
                torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, float("-inf")) for mask in masks
            ]
        return self._masks[key]


def _splits_prompt(row: tuple[int, ...]) -> bool:
    """Whether the prompt is multiplied separately. It does not if the branches have only a few tokens."""
    return 8 * sum(row[1:]) > row[0]


def _build_row_masks(row: tuple[int, ...], prefix_length: int, window: int | None) -> list[Tensor]:
    """The keys that each block of a row attends to: boolean, shape (queries, keys)."""
    prompt, total = row[0], sum(row)
    index = torch.arange(total)
    position = torch.cat([torch.arange(prompt), *(prompt + torch.arange(length) for length in row[1:])])
    branch = torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row))
    row_mask = (index[:, None] >= index) & ((branch[:, None] == branch) | (branch == 0))
    prefix_start = 0
    if window is not None:
        row_mask &= position[:, None] - position < window
        prefix_start = max(0, prefix_length - window + 1)
    prefix_position = torch.arange(prefix_start, prefix_length)
    prefix_mask = torch.ones(total, len(prefix_position), dtype=torch.bool)
    if window is not None:
        prefix_mask = prefix_length + position[:, None] - prefix_position < window
    if not _splits_prompt(row):
        return [torch.cat([prefix_mask, row_mask], 1)] if total else []
    masks = [
        torch.cat([prefix_mask[:prompt], row_mask[:prompt, :prompt]], 1),
        torch.cat([prefix_mask[prompt:], row_mask[prompt:]], 1),
    ]
    return [mask for mask in masks if len(mask)]


@dataclass(frozen=True, slots=True)
class _PrefixSlice:
    """Keys and values, shape (1, groups, keys, d), of the prefix of some rows. `positions`, shape (rows,), are those of the
    rows' new tokens."""

    rows: slice
    keys: Tensor
    values: Tensor
    positions: Tensor


@dataclass(frozen=True, slots=True)
class SharedPrefixStates:
    """Prefixes of the rows of a batch: the keys and values of each prefix per layer, and how many consecutive rows have it.
    `positions`, shape (rows,): the position of each row's new token."""

    states: Sequence[Sequence[tuple[Tensor, Tensor]]]
    rows_per_prefix: Sequence[int]
    positions: Tensor

    def slice_layer(self, layer: int, empty: tuple[Tensor, Tensor]) -> list[_PrefixSlice]:
        """The prefixes at one layer. `empty`: keys and values of zero tokens, for rows without a prefix."""
        slices, start = [], 0
        for states, count in zip(self.states, self.rows_per_prefix, strict=True):
            rows = slice(start, start + count)
            if count:
                slices.append(_PrefixSlice(rows, *(states[layer] if states else empty), self.positions[rows]))
            start += count
        return slices


def register_attention() -> None:
    """Register the attention with transformers as `ATTENTION_NAME`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION_NAME, packed_attention_forward)
    AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


def packed_attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: PackedLayout | None = None,
    prefix_states: SharedPrefixStates | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention with the signature of transformers: query, key and value have shape (1, heads, tokens, d), the result has
    shape (1, tokens, heads, d).

    `prefix_states` is for batches with one new token per row: the states of the prefixes, which `key` and `value` lack.
    Raises `ValueError` for options that a layout does not support: soft-capping, sinks, additive biases.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None and query.shape[2] == 1 and not find_unsupported_option(options) and query.device.type == "cpu":
        prefixes = (
            prefix_states.slice_layer(module.layer_idx, (key[:1, :, :0], value[:1, :, :0])) if prefix_states else []
        )
        return _single_token_attention(query, key, value, attention_mask, scale, prefixes, sliding_window), None
    if prefix_states is not None:
        raise ValueError(
            f"{type(module).__name__}: shared prefixes are supported only on CPU and without extra options"
        )
    if layout is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **options
        )
    if option := find_unsupported_option(options):
        raise ValueError(f"{type(module).__name__}: packed attention does not support {option}")
    q, k, v = (to_autocast_dtype(states[0]) for states in (query, key, value))
    return _PackedAttention.apply(q, k, v, layout, scale, sliding_window)[None], None  # type: ignore[no-untyped-call]


def to_autocast_dtype(states: Tensor) -> Tensor:
    """Convert the states to the autocast dtype. Without autocast they are unchanged.

    If float32 weights are trained under autocast, rotary embeddings leave queries and keys in float32 while values are
    bfloat16. A custom autograd function receives its inputs as they are, and its backward pass runs without autocast.
    """
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else states


def find_unsupported_option(options: dict[str, Any]) -> str:
    """The first option that these implementations do not support, or an empty string."""
    names = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    return names[0] if names else "dropout" if options.get("dropout") else ""


def _single_token_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    prefixes: Sequence[_PrefixSlice],
    window: int | None,
) -> Tensor:
    """Attention of one new token per row, shape (rows, 1, heads, d), as two small products.

    On a CPU the fused call takes fifteen times as long for this shape, and needs the keys of grouped heads repeated. The
    keys and values of a prefix are multiplied once for all of its rows.
    """
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    q = query.reshape(rows, groups, heads // groups, width)
    scores = torch.matmul(q, key.transpose(2, 3)).float().mul_(scale)
    if mask is not None:
        scores = scores.masked_fill_(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    if not prefixes:
        out = torch.matmul(scores.softmax(-1).to(value.dtype), value)
        return out.reshape(rows, 1, heads, width)
    row_probs, prefix_out = torch.empty_like(scores, dtype=value.dtype), []
    for prefix in prefixes:
        prefix_length = prefix.keys.shape[2]
        prefix_scores = _shared_matmul(q[prefix.rows], prefix.keys.transpose(2, 3)).float().mul_(scale)
        if window is not None and prefix_length + scores.shape[3] > window:
            distance = prefix.positions[:, None] - torch.arange(prefix_length)
            prefix_scores.masked_fill_((distance >= window)[:, None, None], float("-inf"))
        probs = torch.cat([prefix_scores, scores[prefix.rows]], 3).softmax(-1).to(value.dtype)
        row_probs[prefix.rows] = probs[..., prefix_length:]
        prefix_out.append(_shared_matmul(probs[..., :prefix_length], prefix.values))
    return (torch.matmul(row_probs, value) + torch.cat(prefix_out)).reshape(rows, 1, heads, width)


def _shared_matmul(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, with `left` of shape (rows, groups, k, m) and one `right`, shape (1, groups, m, n), for all rows."""
    rows, groups, k, m = left.shape
    flat = left.transpose(0, 1).reshape(groups, rows * k, m)
    return torch.bmm(flat, right[0]).view(groups, rows, k, -1).transpose(0, 1)


class _PackedAttention(torch.autograd.Function):
    """softmax(scale q k' + mask) v, block by block. The probabilities are saved for the backward pass.

    If there are more keys than queries, the first keys belong to the shared prefix, which was computed earlier.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: PackedLayout, scale: float, window: int | None
    ) -> Tensor:
        heads, tokens, width = q.shape
        groups, num_cached = len(k), k.shape[1] - tokens
        q = (q * scale).view(groups, heads // groups, tokens, width)
        out = q.new_empty(tokens, heads, width)
        training = any(ctx.needs_input_grad)
        window = layout.effective_window(window)
        blocks, saved_probs = layout.blocks(window), []
        for block, mask in zip(blocks, layout.masks(window, q.dtype), strict=True):
            if block.query_start < num_cached:
                continue
            queries = slice(block.query_start - num_cached, block.stop - num_cached)
            block_q = q[:, :, queries].reshape(groups, -1, width)
            scores = torch.bmm(block_q, _visible_states(k, block, layout).transpose(1, 2))
            scores.view(groups, -1, *mask.shape).add_(mask)
            probs = torch.softmax(scores, -1)
            out[queries] = torch.bmm(probs, _visible_states(v, block, layout)).view(heads, -1, width).transpose(0, 1)
            if training:
                saved_probs.append(probs)
        if training:
            ctx.save_for_backward(q, k, v, *saved_probs)
            ctx.layout, ctx.scale, ctx.blocks = layout, scale, blocks
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        q, k, v, *saved_probs = ctx.saved_tensors
        groups, heads_per_group, tokens, width = q.shape
        d_out = grads[0].to(q.dtype)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block, probs in zip(ctx.blocks, saved_probs, strict=True):
            queries = slice(block.query_start, block.stop)
            block_d_out = d_out[queries].transpose(0, 1).reshape(groups, -1, width)
            block_q = q[:, :, queries].reshape(groups, -1, width)
            _accumulate(dv, torch.bmm(probs.transpose(1, 2), block_d_out), block, ctx.layout)
            d_scores = torch.bmm(block_d_out, _visible_states(v, block, ctx.layout).transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_scores, probs, -1, probs.dtype)
            block_dq = torch.bmm(d_scores, _visible_states(k, block, ctx.layout))
            dq[:, :, queries] = block_dq.view(groups, heads_per_group, -1, width)
            _accumulate(dk, torch.bmm(d_scores.transpose(1, 2), block_q), block, ctx.layout)
        dq = dq.mul_(ctx.scale).view(groups * heads_per_group, tokens, width)
        return dq, dk, dv, None, None, None


def _visible_states(states: Tensor, block: _AttentionBlock, layout: PackedLayout) -> Tensor:
    """The keys or values that a block attends to, shape (groups, keys, d)."""
    row_states = states[:, block.key_start : block.stop]
    if block.prefix_start >= layout.prefix_length:
        return row_states
    return torch.cat([states[:, block.prefix_start : layout.prefix_length], row_states], 1)


def _accumulate(total: Tensor, gradient: Tensor, block: _AttentionBlock, layout: PackedLayout) -> None:
    """Add the gradient from one block to the keys or values that the block attends to."""
    num_prefix_keys = layout.prefix_length - block.prefix_start
    total[:, block.key_start : block.stop] += gradient[:, num_prefix_keys:]
    if num_prefix_keys:
        total[:, block.prefix_start : layout.prefix_length] += gradient[:, :num_prefix_keys]
