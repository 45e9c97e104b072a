"""Prefixes that many texts share: find them, compute them once, and reuse their keys and values."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from trimtab.models.inference.static_kv_cache import allocate_kv_cache
from trimtab.models.packing.attention import PackedLayout
from trimtab.models.packing.layout_probe import (
    build_masks_by_layer_type,
    build_packed_inputs,
    get_backbone,
    unwrap_adapter,
    uses_packed_attention,
)
from trimtab.models.packing.pair_batch import common_prefix_length

# The minimum number of tokens that a branch must add to justify its own cache and, for each new token, its own product.
MIN_BRANCH_TOKENS = 32
# Tokens of a prefix that are computed and cached together.
BLOCK_TOKENS = 128
# Tokens in the cache: about half a gigabyte for a model with 0.3 billion weights.
MAX_CACHED_TOKENS = 24_576


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Indices of texts with the same first `prefix_length` tokens. The prefix is always shorter than each text."""

    prefix_length: int
    indices: tuple[int, ...]


def group_by_prefix(texts: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """Group texts by their longest shared prefix: a prefix tree, without branches that add fewer than MIN_BRANCH_TOKENS
    tokens.

    The prefix of one group may begin with the prefix of another. Deterministic; every index is in exactly one group.
    """
    groups: list[PrefixGroup] = []

    def visit(indices: list[int], parent_length: int) -> list[int]:
        """Add the groups among these texts, which share `parent_length` tokens. Returns the indices without a group."""
        length = common_prefix_length([texts[index] for index in indices])
        is_group = length - parent_length >= MIN_BRANCH_TOKENS
        branches: dict[int, list[int]] = defaultdict(list)
        for index in indices:
            branches[texts[index][length]].append(index)
        remaining: list[int] = []
        for token in sorted(branches):
            branch = branches[token]
            is_leaf = len(branch) == 1 or len(branch) == len(indices)
            remaining += branch if is_leaf else visit(branch, length if is_group else parent_length)
        if not is_group:
            return remaining
        if remaining:
            groups.append(PrefixGroup(length, tuple(sorted(remaining))))
        return []

    remaining = visit(list(range(len(texts))), 0) if len(texts) > 1 else list(range(len(texts)))
    if remaining:
        groups.append(PrefixGroup(0, tuple(sorted(remaining))))
    return sorted(groups, key=lambda group: group.indices)


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """A computed prefix: `states` are its keys and values per layer, shape (1, heads, length, d). `computed_tokens` of its
    tokens were computed now; the others came from the cache."""

    length: int
    states: tuple[tuple[Tensor, Tensor], ...]
    computed_tokens: int = 0

    def create_cache(self, rows: int, capacity: int) -> Any:
        """A new KV cache for `rows` texts that continue the prefix with up to `capacity` tokens each."""
        cache = allocate_kv_cache(self.length + capacity)
        for layer, (keys, values) in enumerate(self.states):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        return cache


class PrefixCache:
    """Caches the keys and values of prefixes in blocks, so that the next text with the same prefix computes only new tokens.

    A block's keys and values depend on all blocks before it. Each block is computed separately, so results do not depend on the
    contents of the cache. The least recently used blocks are evicted first. Only for models with packed attention.
    """

    def __init__(self, max_tokens: int = MAX_CACHED_TOKENS) -> None:
        self.max_tokens = max_tokens
        self._blocks: OrderedDict[bytes, tuple[tuple[Tensor, Tensor], ...]] = OrderedDict()

    @torch.inference_mode()
    def get_or_compute(self, model: Any, ids: Sequence[int]) -> CachedPrefix:
        """The prefix `ids` with its keys and values. An empty prefix needs no computation."""
        if not ids:
            return CachedPrefix(0, ())
        if not uses_packed_attention(model):
            return _compute_full_prefix(model, ids)
        cache, computed, key = allocate_kv_cache(len(ids)), 0, b""
        for start in range(0, len(ids), BLOCK_TOKENS):
            block_ids = list(ids[start : start + BLOCK_TOKENS])
            key = hashlib.blake2b(key + array("q", block_ids).tobytes(), digest_size=16).digest()
            block = self._blocks.get(key)
            if block is None:
                _compute_block(model, block_ids, start, cache)
                computed += len(block_ids)
                self._store_block(key, cache, start, len(block_ids))
            else:
                self._blocks.move_to_end(key)
                for layer, (keys, values) in enumerate(block):
                    cache.update(keys, values, layer)
        return CachedPrefix(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers), computed)

    def _store_block(self, key: bytes, cache: Any, start: int, length: int) -> None:
        if length == BLOCK_TOKENS:
            tokens = slice(start, start + length)
            self._blocks[key] = tuple(
                (layer.keys[:, :, tokens].clone(), layer.values[:, :, tokens].clone()) for layer in cache.layers
            )
        while len(self._blocks) * BLOCK_TOKENS > self.max_tokens:
            self._blocks.popitem(last=False)


def _compute_block(model: Any, ids: Sequence[int], start: int, cache: Any) -> None:
    device = unwrap_adapter(model).device
    positions = torch.arange(start, start + len(ids), device=device)[None]
    forward_packed(
        model, torch.tensor([list(ids)], device=device), positions, PackedLayout(((len(ids),),), start), cache
    )


def _compute_full_prefix(model: Any, ids: Sequence[int]) -> CachedPrefix:
    device = unwrap_adapter(model).device
    cache = DynamicCache()
    tokens = torch.tensor([list(ids)], device=device)
    positions = torch.arange(len(ids), device=device)[None]
    forward_with_prefix(model, tokens, positions, torch.zeros_like(tokens), CachedPrefix(0, ()), cache)
    return CachedPrefix(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers), len(ids))


def forward_packed(model: Any, tokens: Tensor, positions: Tensor, layout: PackedLayout, cache: Any) -> Tensor:
    """The last hidden states of packed rows, shape (1, T, d). The cache must contain exactly their shared prefix."""
    causal = unwrap_adapter(model)
    return get_backbone(causal)(  # type: ignore[no-any-return]
        input_ids=tokens,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **build_packed_inputs(causal, layout),
    ).last_hidden_state


def forward_with_prefix(
    model: Any, tokens: Tensor, positions: Tensor, segments: Tensor, prefix: CachedPrefix, cache: Any
) -> Tensor:
    """The last hidden states of rows that continue a prefix, shape (rows, T, d).

    `segments`, shape (rows, T): 0 for the text after the prefix, 1 and up for branches that attend to it and to themselves,
    -1 for padding. The cache must contain exactly the prefix.
    """
    causal = unwrap_adapter(model)
    return get_backbone(causal)(  # type: ignore[no-any-return]
        input_ids=tokens,
        position_ids=positions,
        attention_mask=build_masks_by_layer_type(
            causal.config, lambda window: _build_mask(positions, segments, prefix.length, window)
        ),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state


def _build_mask(positions: Tensor, segments: Tensor, prefix_length: int, window: int | None) -> Tensor:
    """The attention mask: boolean, shape (rows, 1, T, prefix_length + T), True for visible keys."""
    rows, width = positions.shape
    index = torch.arange(width, device=positions.device)
    same_branch = segments[:, :, None] == segments[:, None, :]
    visible = same_branch | ((segments == 0)[:, None, :] & (segments > 0)[:, :, None])
    mask = visible & (index[:, None] >= index) & (segments >= 0)[:, None, :]
    mask |= torch.eye(width, dtype=torch.bool, device=mask.device)
    prefix_mask = torch.ones(rows, width, prefix_length, dtype=torch.bool, device=positions.device)
    if window is not None:
        mask &= positions[:, :, None] - positions[:, None, :] < window
        prefix_mask = positions[:, :, None] - torch.arange(prefix_length, device=positions.device) < window
    return torch.cat([prefix_mask, mask], dim=2)[:, None]
