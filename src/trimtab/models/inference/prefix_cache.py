"""Beginnings that many texts share: found, read once, and their keys and values used again."""

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

# Tokens that a branch must add to be worth a cache and, for each new token, a product of its own.
MIN_BRANCH_TOKENS = 32
# Tokens of a beginning that are read, and kept, together.
BLOCK_TOKENS = 128
# Tokens of beginnings that are kept: about half a gigabyte of a model of 0.3 billion weights.
MAX_CACHED_TOKENS = 24_576


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Texts that begin with the same `shared` tokens: their places, and what they share is never the whole of a text."""

    prefix_length: int
    indices: tuple[int, ...]


def group_by_prefix(texts: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """The texts by the longest beginnings that they share: the tree of beginnings, cut where it branches, without those
    branches that would add fewer than LEAST_BRANCH tokens.

    A family's beginning may begin with that of another. Deterministic, and every place is in one family.
    """
    found: list[PrefixGroup] = []

    def visit(places: list[int], known: int) -> list[int]:
        """Adds the families among these texts, which share `known` tokens already; those left over are in none."""
        shared = common_prefix_length([texts[place] for place in places])
        worth = shared - known >= MIN_BRANCH_TOKENS
        branches: dict[int, list[int]] = defaultdict(list)
        for place in places:
            branches[texts[place][shared]].append(place)
        left: list[int] = []
        for token in sorted(branches):
            branch = branches[token]
            alone = len(branch) == 1 or len(branch) == len(places)
            left += branch if alone else visit(branch, shared if worth else known)
        if not worth:
            return left
        if left:
            found.append(PrefixGroup(shared, tuple(sorted(left))))
        return []

    left = visit(list(range(len(texts))), 0) if len(texts) > 1 else list(range(len(texts)))
    if left:
        found.append(PrefixGroup(0, tuple(sorted(left))))
    return sorted(found, key=lambda family: family.indices)


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """A beginning that was read: `states` hold its keys and values a layer, shape (1, heads, length, d). `computed` of its
    tokens were read now, the others before."""

    length: int
    states: tuple[tuple[Tensor, Tensor], ...]
    computed_tokens: int = 0

    def create_cache(self, rows: int, capacity: int) -> Any:
        """A fresh cache for this many texts that go on from the beginning, with up to `room` tokens each."""
        cache = allocate_kv_cache(self.length + capacity)
        for layer, (keys, values) in enumerate(self.states):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        return cache


class PrefixCache:
    """Beginnings of texts that were read, in blocks, so that the next text with the same beginning reads what is new.

    A block's keys and values are those of its tokens behind all blocks before it, and it is always read by itself: results
    do not depend on what was read before. The least used blocks go first. Only for models that take packed rows.
    """

    def __init__(self, room: int = MAX_CACHED_TOKENS) -> None:
        self.max_tokens = room
        self._blocks: OrderedDict[bytes, tuple[tuple[Tensor, Tensor], ...]] = OrderedDict()

    @torch.inference_mode()
    def get_or_compute(self, model: Any, ids: Sequence[int]) -> CachedPrefix:
        """The beginning `ids`; nothing is read where it is empty."""
        if not ids:
            return CachedPrefix(0, ())
        if not uses_packed_attention(model):
            return _compute_whole_prefix(model, ids)
        cache, computed, key = allocate_kv_cache(len(ids)), 0, b""
        for start in range(0, len(ids), BLOCK_TOKENS):
            part = list(ids[start : start + BLOCK_TOKENS])
            key = hashlib.blake2b(key + array("q", part).tobytes(), digest_size=16).digest()
            known = self._blocks.get(key)
            if known is None:
                _compute_block(model, part, start, cache)
                computed += len(part)
                self._store_block(key, cache, start, len(part))
            else:
                self._blocks.move_to_end(key)
                for layer, (keys, values) in enumerate(known):
                    cache.update(keys, values, layer)
        return CachedPrefix(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers), computed)

    def _store_block(self, key: bytes, cache: Any, start: int, length: int) -> None:
        if length == BLOCK_TOKENS:
            place = slice(start, start + length)
            self._blocks[key] = tuple(
                (layer.keys[:, :, place].clone(), layer.values[:, :, place].clone()) for layer in cache.layers
            )
        while len(self._blocks) * BLOCK_TOKENS > self.max_tokens:
            self._blocks.popitem(last=False)


def _compute_block(model: Any, ids: Sequence[int], start: int, cache: Any) -> None:
    device = unwrap_adapter(model).device
    positions = torch.arange(start, start + len(ids), device=device)[None]
    forward_packed(
        model, torch.tensor([list(ids)], device=device), positions, PackedLayout(((len(ids),),), start), cache
    )


def _compute_whole_prefix(model: Any, ids: Sequence[int]) -> CachedPrefix:
    device = unwrap_adapter(model).device
    cache = DynamicCache()
    tokens = torch.tensor([list(ids)], device=device)
    place = torch.arange(len(ids), device=device)[None]
    forward_with_prefix(model, tokens, place, torch.zeros_like(tokens), CachedPrefix(0, ()), cache)
    return CachedPrefix(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers), len(ids))


def forward_packed(model: Any, tokens: Tensor, positions: Tensor, layout: PackedLayout, cache: Any) -> Tensor:
    """The last states of rows that lie one behind another, shape (1, T, d). The cache must hold what they share alone."""
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
    """The last states of rows that go on from a prefix, shape (rows, T, d).

    `segments`, shape (rows, T): 0 for what follows the prefix, 1 and up for branches that see it and themselves, -1 for
    padding. The cache must hold the prefix alone.
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


def _build_mask(positions: Tensor, segments: Tensor, shared: int, window: int | None) -> Tensor:
    """True where a token may look: boolean, shape (rows, 1, T, shared + T)."""
    rows, width = positions.shape
    place = torch.arange(width, device=positions.device)
    same = (segments[:, :, None] == segments[:, None, :]) | ((segments == 0)[:, None, :] & (segments > 0)[:, :, None])
    own = same & (place[:, None] >= place) & (segments >= 0)[:, None, :]
    own |= torch.eye(width, dtype=torch.bool, device=own.device)
    before = torch.arange(shared, device=positions.device)
    earlier = torch.ones(rows, width, shared, dtype=torch.bool, device=positions.device)
    if window is not None:
        own &= positions[:, :, None] - positions[:, None, :] < window
        earlier = positions[:, :, None] - before < window
    return torch.cat([earlier, own], dim=2)[:, None]
