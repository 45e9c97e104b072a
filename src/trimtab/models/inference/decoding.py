"""Writing on behind texts, many at a time, token by token."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from trimtab.models.inference.prefix_cache import CachedPrefix, forward_packed
from trimtab.models.lm_head import get_lm_head
from trimtab.models.packing.attention import PackedLayout, SharedPrefixStates
from trimtab.models.packing.layout_probe import (
    build_masks_by_layer_type,
    get_backbone,
    unwrap_adapter,
    uses_packed_attention,
)

# Whether a text has ended, asked after each token.
StopCondition = Callable[[Sequence[int]], bool]
# Tokens of texts that are read in one pass.
PREFILL_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class PrefixBatch:
    """Texts that go on from the same beginning."""

    prefix: CachedPrefix
    texts: Sequence[Sequence[int]]


@torch.inference_mode()
def decode_batch(
    model: Any,
    batches: Sequence[PrefixBatch],
    is_finished: StopCondition,
    rngs: Sequence[random.Random],
    *,
    max_new_tokens: int,
    temperature: float,
) -> list[list[int]]:
    """New token ids for each text of each part in turn, the last one being that which ended it.

    Models that take packed rows write on behind several beginnings at a time; for the others there may be one part alone.
    Rows that have ended leave the batch once half have. Positions and masks are kept here and not derived, so that padding
    between the prefix and a text counts for nothing, in sliding windows too.
    """
    causal = unwrap_adapter(model)
    project = get_lm_head(causal)
    if uses_packed_attention(model):
        batch = _prefill_packed(model, batches, max_new_tokens)
    else:
        (alone,) = batches
        batch = _prefill_padded(causal, alone, max_new_tokens)
    answers: list[list[int]] = [[] for part in batches for _ in part.texts]
    live = list(range(len(answers)))
    for number in range(max_new_tokens):
        chosen = sample_tokens(project(batch.last_hidden).float(), [rngs[place] for place in live], temperature)
        done = []
        for place, token in zip(live, chosen.tolist(), strict=True):
            if not (answers[place] and is_finished(answers[place])):
                answers[place].append(token)
            done.append(is_finished(answers[place]))
        if all(done) or number == max_new_tokens - 1:
            break
        if 2 * sum(done) >= len(live):
            stay = [row for row, over in enumerate(done) if not over]
            live = [live[row] for row in stay]
            chosen = chosen[stay]
            batch.select_rows(stay)
        batch.append_tokens(causal, chosen)
    return answers


@dataclass(slots=True)
class _DecodeState:
    """Rows that are written on: a cache that grows, and of each key that it holds whether it counts and its position.

    `last`: the state of each row's last token, shape (rows, d). `positions`, shape (rows, 1): of that token. `before`: the
    beginnings that the cache does not hold, and how many rows in turn begin with each.
    """

    last_hidden: Tensor
    cache: Any
    valid_keys: Tensor
    key_positions: Tensor
    positions: Tensor
    prefixes: Sequence[CachedPrefix] = ()
    rows_per_prefix: list[int] = field(default_factory=list)

    def select_rows(self, rows: list[int]) -> None:
        """These rows alone."""
        self.cache.batch_select_indices(torch.tensor(rows, device=self.valid_keys.device))
        self.valid_keys, self.key_positions, self.positions = (
            self.valid_keys[rows],
            self.key_positions[rows],
            self.positions[rows],
        )
        ends = list(accumulate(self.rows_per_prefix))
        starts = [end - count for end, count in zip(ends, self.rows_per_prefix, strict=True)]
        self.rows_per_prefix = [
            sum(start <= row < end for row in rows) for start, end in zip(starts, ends, strict=True)
        ]

    def append_tokens(self, causal: Any, chosen: Tensor) -> None:
        """A token more for each row."""
        tokens, self.positions = chosen[:, None], self.positions + 1
        self.valid_keys = torch.cat([self.valid_keys, torch.ones_like(tokens, dtype=torch.bool)], 1)
        self.key_positions = torch.cat([self.key_positions, self.positions], 1)
        rest = {}
        if self.prefixes:
            states = [prefix.states for prefix in self.prefixes]
            rest["prefix_states"] = SharedPrefixStates(states, self.rows_per_prefix, self.positions[:, 0])
        self.last_hidden = _forward_step(
            causal, tokens, self.positions, (self.valid_keys, self.key_positions), self.cache, **rest
        )


def _forward_step(
    causal: Any, tokens: Tensor, positions: Tensor, known: tuple[Tensor, Tensor], cache: Any, **rest: Any
) -> Tensor:
    """The state of the last token of each row, shape (rows, d)."""
    states = get_backbone(causal)(
        input_ids=tokens,
        attention_mask=build_masks_by_layer_type(causal.config, partial(_build_mask, positions, *known)),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **rest,
    ).last_hidden_state
    # contiguous: torch would otherwise copy the output head once for every row
    return states[:, -1].contiguous()  # type: ignore[no-any-return]


def _prefill_padded(causal: Any, part: PrefixBatch, max_new_tokens: int) -> _DecodeState:
    """The texts behind their prefix, padded on the left."""
    prefix, texts, device = part.prefix, part.texts, causal.device
    width = max(map(len, texts))
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for ids in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + prefix.length
    before = torch.arange(prefix.length, device=device).expand(len(valid), -1)
    valid = torch.cat([torch.ones_like(before, dtype=torch.bool), valid], 1)
    known = torch.cat([before, positions], 1)
    cache = prefix.create_cache(len(texts), width + max_new_tokens)
    tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in texts], device=device)
    last = _forward_step(causal, tokens, positions, (valid, known), cache)
    return _DecodeState(last, cache, valid, known, positions[:, -1:])


def _prefill_packed(model: Any, parts: Sequence[PrefixBatch], max_new_tokens: int) -> _DecodeState:
    """The texts read one behind another, a pass at a time: as many tokens as there are, however unlike their lengths.

    The cache holds the texts alone, padded on the left; their beginnings are the same for many.
    """
    texts = [(part.prefix, ids) for part in parts for ids in part.texts]
    width, device = max(len(ids) for _, ids in texts), unwrap_adapter(model).device
    found: list[Tensor] = []
    buffers: list[tuple[Tensor, Tensor]] = []
    row = 0
    for prefix, group in ((part.prefix, group) for part in parts for group in _split_passes(part.texts)):
        states, cache = _prefill_pass(model, prefix, group)
        ends = torch.tensor([len(ids) for ids in group]).cumsum(0)
        found.append(states[0, ends - 1])
        for number, layer in enumerate(cache.layers):
            if len(buffers) == number:
                shape = (len(texts), layer.keys.shape[1], width)
                keys = layer.keys.new_zeros(*shape, layer.keys.shape[3])
                buffers.append((keys, layer.values.new_zeros(*shape, layer.values.shape[3])))
            for place, (ids, end) in enumerate(zip(group, ends.tolist(), strict=True), start=row):
                own = slice(prefix.length + end - len(ids), prefix.length + end)
                buffers[number][0][place, :, width - len(ids) :] = layer.keys[0, :, own]
                buffers[number][1][place, :, width - len(ids) :] = layer.values[0, :, own]
        row += len(group)
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for _, ids in texts], device=device)
    lengths = torch.tensor([[prefix.length] for prefix, _ in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + lengths
    return _DecodeState(
        last_hidden=torch.cat(found),
        cache=CachedPrefix(width, tuple(buffers)).create_cache(len(texts), max_new_tokens),
        valid_keys=valid,
        key_positions=positions,
        positions=positions[:, -1:],
        prefixes=[part.prefix for part in parts] if lengths.any() else (),
        rows_per_prefix=[len(part.texts) for part in parts],
    )


def _prefill_pass(model: Any, prefix: CachedPrefix, group: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    """The states of texts that lie one behind another, and the cache that was filled with them behind the prefix."""
    device, lengths = unwrap_adapter(model).device, [len(ids) for ids in group]
    tokens = torch.tensor([[token for ids in group for token in ids]], device=device)
    positions = torch.cat([torch.arange(length) for length in lengths])[None].to(device) + prefix.length
    cache = prefix.create_cache(1, tokens.shape[1])
    layout = PackedLayout(tuple((each,) for each in lengths), prefix.length)
    return forward_packed(model, tokens, positions, layout, cache), cache


def _split_passes(texts: Sequence[Sequence[int]]) -> list[Sequence[Sequence[int]]]:
    """The texts in their order, cut where a pass would hold more than READ tokens."""
    passes: list[list[Sequence[int]]] = [[]]
    for ids in texts:
        if passes[-1] and sum(map(len, passes[-1])) + len(ids) > PREFILL_TOKENS:
            passes.append([])
        passes[-1].append(ids)
    return list(passes)


def _build_mask(asking: Tensor, valid: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """True where a token may look: boolean, shape (rows, 1, T, keys). Padding sees itself alone."""
    away = asking[:, :, None] - positions[:, None, :]
    seen = (away >= 0) & valid[:, None, :]
    if window is not None:
        seen &= away < window
    width, keys = asking.shape[1], positions.shape[1]
    itself = torch.zeros(width, keys, dtype=torch.bool, device=seen.device)
    itself[:, keys - width :] = torch.eye(width, dtype=torch.bool, device=seen.device)
    return (seen | itself)[:, None]


def sample_tokens(logits: Tensor, draws: Sequence[random.Random], temperature: float) -> Tensor:
    """One token a row: the likeliest at temperature 0, else where the row's own uniform draw falls in its distribution."""
    if temperature == 0:
        return logits.argmax(1)
    shares = torch.softmax(logits / temperature, dim=1).double().cumsum(1)
    points = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64, device=logits.device)
    return torch.searchsorted(shares, points * shares[:, -1:])[:, 0].clamp(max=logits.shape[1] - 1)
