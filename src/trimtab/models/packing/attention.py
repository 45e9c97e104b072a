"""Attention over rows that lie one behind another without padding, each a prompt and the branches that follow it.

A mask over all tokens would be nearly empty. Here each row is two dense products: the prompt looks at itself, and the
branches look at the prompt and at themselves. What all rows begin with may stand first, once. On a processor this takes
half the time of a masked attention call, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

# What the model's settings call this attention. Without a layout it gives what scaled dot product attention gives.
ATTENTION_NAME = "trimtab_rows"


@dataclass(frozen=True, slots=True)
class _AttentionBlock:
    """Queries `start:stop` of the packed tokens. They look at the shared tokens from `after` on, and at those from
    `origin` to `stop`."""

    key_start: int
    query_start: int
    stop: int
    prefix_start: int


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """Where the rows lie: `lengths` holds the tokens of each row's prompt and of each of its branches.

    The first `shared` tokens are the beginning of every row, and `lengths` leaves them out.
    """

    lengths: tuple[tuple[int, ...], ...]
    prefix_length: int = 0
    _masks: dict[tuple[int | None, torch.dtype], list[Tensor]] = field(default_factory=dict)

    def effective_window(self, window: int | None) -> int | None:
        """The sliding window, where there is a token so far on that it matters."""
        longest = self.prefix_length + max((row[0] + max(row[1:], default=0) for row in self.lengths), default=0)
        return window if window is not None and window < longest else None

    def blocks(self, window: int | None) -> list[_AttentionBlock]:
        """Those of the shared tokens, then of each row. `window` as the method of that name gives it."""
        found = [_AttentionBlock(0, 0, self.prefix_length, self.prefix_length)] if self.prefix_length else []
        after = 0 if window is None else max(0, self.prefix_length - window + 1)
        origin = self.prefix_length
        for row in self.lengths:
            stop = origin + sum(row)
            parts = (origin, origin + row[0], stop) if _splits_prompt(row) else (origin, stop)
            found += [_AttentionBlock(origin, *part, after) for part in pairwise(parts) if part[0] < part[1]]
            origin = stop
        return found

    def masks(self, window: int | None, dtype: torch.dtype) -> list[Tensor]:
        """What is added to the scores of each block: zero or minus infinity, shape (queries, keys)."""
        key = (window, dtype)
        if key not in self._masks:
            rows = [mask for row in self.lengths for mask in _build_row_masks(row, self.prefix_length, window)]
            seen = [*_build_row_masks((self.prefix_length,), 0, window), *rows] if self.prefix_length else rows
            self._masks[key] = [
                torch.zeros(each.shape, dtype=dtype).masked_fill_(~each, float("-inf")) for each in seen
            ]
        return self._masks[key]


def _splits_prompt(row: tuple[int, ...]) -> bool:
    """Whether the prompt is worth a product of its own: not where the branches are a few tokens."""
    return 8 * sum(row[1:]) > row[0]


def _build_row_masks(row: tuple[int, ...], shared: int, window: int | None) -> list[Tensor]:
    """What each block of a row sees: boolean, shape (queries, keys)."""
    prompt, total = row[0], sum(row)
    place = torch.arange(total)
    position = torch.cat([torch.arange(prompt), *(prompt + torch.arange(each) for each in row[1:])])
    branch = torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row))
    seen = (place[:, None] >= place) & ((branch[:, None] == branch) | (branch == 0))
    after = 0
    if window is not None:
        seen &= position[:, None] - position < window
        after = max(0, shared - window + 1)
    before = torch.arange(after, shared)
    earlier = torch.ones(total, len(before), dtype=torch.bool)
    if window is not None:
        earlier = shared + position[:, None] - before < window
    if not _splits_prompt(row):
        return [torch.cat([earlier, seen], 1)] if total else []
    parts = [torch.cat([earlier[:prompt], seen[:prompt, :prompt]], 1), torch.cat([earlier[prompt:], seen[prompt:]], 1)]
    return [each for each in parts if len(each)]


@dataclass(frozen=True, slots=True)
class _PrefixSlice:
    """Keys and values of shape (1, groups, keys, d) that stand before some of the rows, whose new tokens have these
    `positions`, shape (rows,)."""

    rows: slice
    keys: Tensor
    values: Tensor
    positions: Tensor


@dataclass(frozen=True, slots=True)
class SharedPrefixStates:
    """What stands before the rows of a batch: for each beginning its keys and values a layer, and how many rows in turn
    begin with it. `positions`, shape (rows,): the place of each row's new token."""

    states: Sequence[Sequence[tuple[Tensor, Tensor]]]
    rows_per_prefix: Sequence[int]
    positions: Tensor

    def slice_layer(self, layer: int, empty: tuple[Tensor, Tensor]) -> list[_PrefixSlice]:
        """`nothing`: keys and values of no token, for rows that begin with none."""
        found, start = [], 0
        for states, count in zip(self.states, self.rows_per_prefix, strict=True):
            rows = slice(start, start + count)
            if count:
                found.append(_PrefixSlice(rows, *(states[layer] if states else empty), self.positions[rows]))
            start += count
        return found


def register_attention() -> None:
    """Makes the attention known to transformers, under `NAME`."""
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
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: queries of shape (1, heads, tokens, d), states of shape (1, tokens, heads, d).

    `before` is for single tokens of rows: what stands before the keys that are given.
    Raises `ValueError` for what a layout cannot be combined with: soft caps, sinks, added biases.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None and query.shape[2] == 1 and not _unsupported_option(rest) and query.device.type == "cpu":
        shared = (
            prefix_states.slice_layer(module.layer_idx, (key[:1, :, :0], value[:1, :, :0])) if prefix_states else []
        )
        return _single_token_attention(query, key, value, attention_mask, scale, shared, sliding_window), None
    if prefix_states is not None:
        raise ValueError(f"{type(module).__name__}: what stands before rows is read on a processor alone, plainly")
    if layout is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
    if odd := _unsupported_option(rest):
        raise ValueError(f"{type(module).__name__}: attention over packed rows knows no {odd}")
    q, k, v = (_autocast_dtype(states[0]) for states in (query, key, value))
    return _PackedAttention.apply(q, k, v, layout, scale, sliding_window)[None], None  # type: ignore[no-untyped-call]


def _autocast_dtype(states: Tensor) -> Tensor:
    """The states in the dtype that autocast multiplies in, or unchanged without autocast.

    Rotary embeddings leave float32 queries and keys beside bfloat16 values where float32 weights are trained under autocast.
    A custom autograd function gets its inputs as they are, and its backward pass runs without autocast.
    """
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else states


def _unsupported_option(rest: dict[str, Any]) -> str:
    """The first of what these ways of computing do not know, where there is any."""
    found = [name for name in ("softcap", "s_aux", "position_bias") if rest.get(name) is not None]
    return found[0] if found else "dropout" if rest.get("dropout") else ""


def _single_token_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    before: Sequence[_PrefixSlice],
    window: int | None,
) -> Tensor:
    """Attention of one new token a row, shape (rows, 1, heads, d): two small products.

    On a processor the fused call takes fifteen times as long for this shape, and needs the keys of grouped heads repeated.
    Keys and values that stand before several rows are multiplied once for all of them.
    """
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    asked = query.reshape(rows, groups, heads // groups, width)
    scores = torch.matmul(asked, key.transpose(2, 3)).float().mul_(scale)
    if mask is not None:
        scores = scores.masked_fill_(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    if not before:
        found = torch.matmul(scores.softmax(-1).to(value.dtype), value)
        return found.reshape(rows, 1, heads, width)
    own, common = torch.empty_like(scores, dtype=value.dtype), []
    for part in before:
        earlier = _shared_matmul(asked[part.rows], part.keys.transpose(2, 3)).float().mul_(scale)
        if window is not None and part.keys.shape[2] + scores.shape[3] > window:
            away = part.positions[:, None] - torch.arange(part.keys.shape[2])
            earlier.masked_fill_((away >= window)[:, None, None], float("-inf"))
        shares = torch.cat([earlier, scores[part.rows]], 3).softmax(-1).to(value.dtype)
        own[part.rows] = shares[..., earlier.shape[3] :]
        common.append(_shared_matmul(shares[..., : earlier.shape[3]], part.values))
    return (torch.matmul(own, value) + torch.cat(common)).reshape(rows, 1, heads, width)


def _shared_matmul(left: Tensor, right: Tensor) -> Tensor:
    """left @ right for a `right`, shape (1, groups, m, n), that is the same for all rows of `left`, (rows, groups, k, m)."""
    rows, groups, k, m = left.shape
    flat = left.transpose(0, 1).reshape(groups, rows * k, m)
    return torch.bmm(flat, right[0]).view(groups, rows, k, -1).transpose(0, 1)


class _PackedAttention(torch.autograd.Function):
    """softmax(scale q k' + mask) v, block by block, with the probabilities kept for the way back.

    Where there are more keys than queries, the first of them are the shared tokens' and were read before.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: PackedLayout, scale: float, window: int | None
    ) -> Tensor:
        heads, tokens, width = query.shape
        groups, known = len(key), key.shape[1] - tokens
        query = (query * scale).view(groups, heads // groups, tokens, width)
        out = query.new_empty(tokens, heads, width)
        training = any(ctx.needs_input_grad)
        window = layout.effective_window(window)
        blocks, kept = layout.blocks(window), []
        for block, mask in zip(blocks, layout.masks(window, query.dtype), strict=True):
            if block.query_start < known:
                continue
            asked = slice(block.query_start - known, block.stop - known)
            scores = torch.bmm(
                query[:, :, asked].reshape(groups, -1, width), _visible_states(key, block, layout).transpose(1, 2)
            )
            scores.view(groups, -1, *mask.shape).add_(mask)
            shares = torch.softmax(scores, -1)
            found = torch.bmm(shares, _visible_states(value, block, layout))
            out[asked] = found.view(heads, -1, width).transpose(0, 1)
            if training:
                kept.append(shares)
        if training:
            ctx.save_for_backward(query, key, value, *kept)
            ctx.layout, ctx.scale, ctx.blocks = layout, scale, blocks
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, *kept = ctx.saved_tensors
        groups, per, tokens, width = query.shape
        grad = grads[0].to(query.dtype)
        to_query = torch.empty_like(query)
        to_key, to_value = torch.zeros_like(key), torch.zeros_like(value)
        for block, shares in zip(ctx.blocks, kept, strict=True):
            asked = slice(block.query_start, block.stop)
            part = grad[asked].transpose(0, 1).reshape(groups, -1, width)
            questions = query[:, :, asked].reshape(groups, -1, width)
            _accumulate(to_value, torch.bmm(shares.transpose(1, 2), part), block, ctx.layout)
            slopes = torch.bmm(part, _visible_states(value, block, ctx.layout).transpose(1, 2))
            slopes = torch._softmax_backward_data(slopes, shares, -1, shares.dtype)
            to_query[:, :, asked] = torch.bmm(slopes, _visible_states(key, block, ctx.layout)).view(
                groups, per, -1, width
            )
            _accumulate(to_key, torch.bmm(slopes.transpose(1, 2), questions), block, ctx.layout)
        to_query = to_query.mul_(ctx.scale).view(groups * per, tokens, width)
        return to_query, to_key, to_value, None, None, None


def _visible_states(states: Tensor, block: _AttentionBlock, layout: PackedLayout) -> Tensor:
    """The keys or values that a block looks at, shape (groups, keys, d)."""
    own = states[:, block.key_start : block.stop]
    return (
        torch.cat([states[:, block.prefix_start : layout.prefix_length], own], 1)
        if block.prefix_start < layout.prefix_length
        else own
    )


def _accumulate(total: Tensor, part: Tensor, block: _AttentionBlock, layout: PackedLayout) -> None:
    """Adds a block's part to what it looked at."""
    before = layout.prefix_length - block.prefix_start
    total[:, block.key_start : block.stop] += part[:, before:]
    if before:
        total[:, block.prefix_start : layout.prefix_length] += part[:, :before]
