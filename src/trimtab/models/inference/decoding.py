"""Batched token-by-token decoding."""

from __future__ import annotations

import random
from collections import defaultdict
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

# Called with the generated tokens of a sequence after each token; true if the sequence is finished.
StopCondition = Callable[[Sequence[int]], bool]
# Tokens in one prefill pass.
PREFILL_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class PrefixBatch:
    """Texts that continue the same prefix."""

    prefix: CachedPrefix
    texts: Sequence[Sequence[int]]


class SampledLogprobs:
    """The log-probability of each generated text: the sum over its tokens at temperature 1, in nats."""

    def __init__(self) -> None:
        self.sums: defaultdict[int, float] = defaultdict(float)

    def add_step(self, logits: Tensor, tokens: Tensor, texts: Sequence[int | None]) -> None:
        """Adds a decoding step. `logits`: shape (rows, vocabulary); `tokens`, shape (rows,): the token that was sampled.
        `texts`: the index of each row's text, or None if the text was finished before."""
        logprobs = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(1)
        for text, logprob in zip(texts, logprobs.tolist(), strict=True):
            if text is not None:
                self.sums[text] += logprob


@torch.inference_mode()
def decode_batch(
    model: Any,
    batches: Sequence[PrefixBatch],
    is_finished: StopCondition,
    rngs: Sequence[random.Random],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float = 1.0,
    logprobs: SampledLogprobs | None = None,
) -> list[list[int]]:
    """Generate token ids for each text of each batch in order. The last one is the token that finished the text.

    Models with packed attention decode several prefixes at a time; other models take exactly one batch. Finished rows leave
    the batch once half of the rows are finished. Positions and masks are tracked explicitly, so padding between the prefix
    and a text has no effect, including in sliding windows. `logprobs` receives the log-probabilities of the texts.
    """
    causal = unwrap_adapter(model)
    project = get_lm_head(causal)
    if uses_packed_attention(model):
        state = _prefill_packed(model, batches, max_new_tokens)
    else:
        (batch,) = batches
        state = _prefill_padded(causal, batch, max_new_tokens)
    outputs: list[list[int]] = [[] for batch in batches for _ in batch.texts]
    active = list(range(len(outputs)))
    for step in range(max_new_tokens):
        logits = project(state.last_hidden).float()
        tokens = sample_tokens(logits, [rngs[index] for index in active], temperature, top_p)
        finished = [bool(outputs[index]) and is_finished(outputs[index]) for index in active]
        if logprobs is not None:
            texts = [None if done else index for index, done in zip(active, finished, strict=True)]
            logprobs.add_step(logits, tokens, texts)
        for row, (index, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            if not finished[row]:
                outputs[index].append(token)
                finished[row] = is_finished(outputs[index])
        if all(finished) or step == max_new_tokens - 1:
            break
        if 2 * sum(finished) >= len(active):
            rows = [row for row, row_finished in enumerate(finished) if not row_finished]
            active = [active[row] for row in rows]
            tokens = tokens[rows]
            state.select_rows(rows)
        state.append_tokens(causal, tokens)
    return outputs


@dataclass(slots=True)
class _DecodeState:
    """The rows of a decoding batch: a growing cache, and for each of its keys whether it is valid and its position.

    `last_hidden`: the state of each row's last token, shape (rows, d). `positions`, shape (rows, 1): that token's position.
    `prefixes`: prefixes that are not in the cache; `rows_per_prefix`: how many consecutive rows have each.
    """

    last_hidden: Tensor
    cache: Any
    valid_keys: Tensor
    key_positions: Tensor
    positions: Tensor
    prefixes: Sequence[CachedPrefix] = ()
    rows_per_prefix: list[int] = field(default_factory=list)

    def select_rows(self, rows: list[int]) -> None:
        """Keeps only these rows."""
        self.cache.batch_select_indices(torch.tensor(rows, device=self.valid_keys.device))
        self.valid_keys, self.key_positions = self.valid_keys[rows], self.key_positions[rows]
        self.positions = self.positions[rows]
        ends = list(accumulate(self.rows_per_prefix))
        starts = [end - count for end, count in zip(ends, self.rows_per_prefix, strict=True)]
        self.rows_per_prefix = [
            sum(start <= row < end for row in rows) for start, end in zip(starts, ends, strict=True)
        ]

    def append_tokens(self, causal: Any, token_ids: Tensor) -> None:
        """Append one token to each row and compute its state."""
        tokens, self.positions = token_ids[:, None], self.positions + 1
        self.valid_keys = torch.cat([self.valid_keys, torch.ones_like(tokens, dtype=torch.bool)], 1)
        self.key_positions = torch.cat([self.key_positions, self.positions], 1)
        options = {}
        if self.prefixes:
            states = [prefix.states for prefix in self.prefixes]
            options["prefix_states"] = SharedPrefixStates(states, self.rows_per_prefix, self.positions[:, 0])
        keys = (self.valid_keys, self.key_positions)
        self.last_hidden = _forward_step(causal, tokens, self.positions, keys, self.cache, **options)


def _forward_step(
    causal: Any, tokens: Tensor, positions: Tensor, keys: tuple[Tensor, Tensor], cache: Any, **options: Any
) -> Tensor:
    """The state of the last token of each row, shape (rows, d). `keys`: validity and position of each key."""
    states = get_backbone(causal)(
        input_ids=tokens,
        attention_mask=build_masks_by_layer_type(causal.config, partial(_build_mask, positions, *keys)),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **options,
    ).last_hidden_state
    # contiguous: torch would otherwise copy the output head once for every row
    return states[:, -1].contiguous()  # type: ignore[no-any-return]


def _prefill_padded(causal: Any, batch: PrefixBatch, max_new_tokens: int) -> _DecodeState:
    """Compute the texts after their prefix, padded on the left."""
    prefix, texts, device = batch.prefix, batch.texts, causal.device
    width = max(map(len, texts))
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for ids in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + prefix.length
    prefix_positions = torch.arange(prefix.length, device=device).expand(len(valid), -1)
    valid = torch.cat([torch.ones_like(prefix_positions, dtype=torch.bool), valid], 1)
    key_positions = torch.cat([prefix_positions, positions], 1)
    cache = prefix.create_cache(len(texts), width + max_new_tokens)
    tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in texts], device=device)
    last_hidden = _forward_step(causal, tokens, positions, (valid, key_positions), cache)
    return _DecodeState(last_hidden, cache, valid, key_positions, positions[:, -1:])


def _prefill_packed(model: Any, batches: Sequence[PrefixBatch], max_new_tokens: int) -> _DecodeState:
    """Compute the texts in packed passes, without padding however different their lengths.

    The cache contains the texts only, padded on the left, because many rows share a prefix.
    """
    texts = [(batch.prefix, ids) for batch in batches for ids in batch.texts]
    width, device = max(len(ids) for _, ids in texts), unwrap_adapter(model).device
    last_hidden: list[Tensor] = []
    buffers: list[tuple[Tensor, Tensor]] = []
    first_row = 0
    for prefix, group in ((batch.prefix, group) for batch in batches for group in _split_passes(batch.texts)):
        states, cache = _prefill_pass(model, prefix, group)
        ends = torch.tensor([len(ids) for ids in group]).cumsum(0)
        last_hidden.append(states[0, ends - 1])
        for index, layer in enumerate(cache.layers):
            if len(buffers) == index:
                shape = (len(texts), layer.keys.shape[1], width)
                keys = layer.keys.new_zeros(*shape, layer.keys.shape[3])
                buffers.append((keys, layer.values.new_zeros(*shape, layer.values.shape[3])))
            for row, (ids, end) in enumerate(zip(group, ends.tolist(), strict=True), start=first_row):
                tokens = slice(prefix.length + end - len(ids), prefix.length + end)
                buffers[index][0][row, :, width - len(ids) :] = layer.keys[0, :, tokens]
                buffers[index][1][row, :, width - len(ids) :] = layer.values[0, :, tokens]
        first_row += len(group)
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for _, ids in texts], device=device)
    prefix_lengths = torch.tensor([[prefix.length] for prefix, _ in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + prefix_lengths
    return _DecodeState(
        last_hidden=torch.cat(last_hidden),
        cache=CachedPrefix(width, tuple(buffers)).create_cache(len(texts), max_new_tokens),
        valid_keys=valid,
        key_positions=positions,
        positions=positions[:, -1:],
        prefixes=[batch.prefix for batch in batches] if prefix_lengths.any() else (),
        rows_per_prefix=[len(batch.texts) for batch in batches],
    )


def _prefill_pass(model: Any, prefix: CachedPrefix, group: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    """The states of concatenated texts, and a cache that contains the prefix and the texts."""
    device, lengths = unwrap_adapter(model).device, [len(ids) for ids in group]
    tokens = torch.tensor([[token for ids in group for token in ids]], device=device)
    positions = torch.cat([torch.arange(length) for length in lengths])[None].to(device) + prefix.length
    cache = prefix.create_cache(1, tokens.shape[1])
    layout = PackedLayout(tuple((length,) for length in lengths), prefix.length)
    return forward_packed(model, tokens, positions, layout, cache), cache


def _split_passes(texts: Sequence[Sequence[int]]) -> list[Sequence[Sequence[int]]]:
    """Split the texts, in order, into passes of at most PREFILL_TOKENS tokens."""
    passes: list[list[Sequence[int]]] = [[]]
    for ids in texts:
        if passes[-1] and sum(map(len, passes[-1])) + len(ids) > PREFILL_TOKENS:
            passes.append([])
        passes[-1].append(ids)
    return list(passes)


def _build_mask(query_positions: Tensor, valid_keys: Tensor, key_positions: Tensor, window: int | None) -> Tensor:
    """The attention mask: boolean, shape (rows, 1, T, keys), True for visible keys. Padding attends to itself only."""
    distance = query_positions[:, :, None] - key_positions[:, None, :]
    visible = (distance >= 0) & valid_keys[:, None, :]
    if window is not None:
        visible &= distance < window
    width, keys = query_positions.shape[1], key_positions.shape[1]
    diagonal = torch.zeros(width, keys, dtype=torch.bool, device=visible.device)
    diagonal[:, keys - width :] = torch.eye(width, dtype=torch.bool, device=visible.device)
    return (visible | diagonal)[:, None]


def sample_tokens(logits: Tensor, rngs: Sequence[random.Random], temperature: float, top_p: float = 1.0) -> Tensor:
    """Sample one token per row by inverting the CDF at a uniform number from the row's generator; temperature 0 is argmax.

    With `top_p` below 1, tokens outside the nucleus have probability 0.
    """
    if temperature == 0:
        return logits.argmax(1)
    probabilities = torch.softmax(logits / temperature, dim=1).double()
    if top_p < 1:
        probabilities = restrict_to_nucleus(probabilities, top_p)
    cumulative = probabilities.cumsum(1)
    uniform = torch.tensor([[rng.random()] for rng in rngs], dtype=torch.float64, device=logits.device)
    sampled = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=top_p < 1)
    return sampled[:, 0].clamp(max=logits.shape[1] - 1)


def restrict_to_nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The probabilities, with 0 outside the nucleus (Holtzman et al. 2020): the fewest most probable tokens that together have
    at least `top_p`. Equal probabilities are taken in the order of the tokens. Shape (rows, vocabulary)."""
    ordered, tokens = probabilities.sort(dim=1, descending=True, stable=True)
    outside = ordered.cumsum(1) - ordered >= top_p
    return probabilities.masked_fill(torch.zeros_like(outside).scatter(1, tokens, outside), 0.0)
