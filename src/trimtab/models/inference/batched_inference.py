"""Batched scoring and generation: shared prefixes are computed once, and all choices of a prompt in one forward pass."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from trimtab.models.inference.decoding import PrefixBatch, StopCondition, decode_batch
from trimtab.models.inference.generate import CACHE_BUDGET_FACTOR
from trimtab.models.inference.prefix_cache import (
    CachedPrefix,
    PrefixCache,
    forward_packed,
    forward_with_prefix,
    group_by_prefix,
)
from trimtab.models.lm_head import get_lm_head, get_logit_transform
from trimtab.models.packing.attention import PackedLayout
from trimtab.models.packing.layout_probe import unwrap_adapter, uses_packed_attention

TokenIds = Sequence[int]
# A text and its choices.
_ChoiceRow = tuple[list[int], list[list[int]]]
# Rows of the vocabulary-sized logits tensor that exist at one time.
LOGSUMEXP_CHUNK_ROWS = 128


@dataclass(frozen=True, slots=True)
class ChoiceLogprobs:
    """Summed log-probabilities of a text's choices, in nats, and the numbers of tokens computed and read from the cache."""

    logprobs: tuple[float, ...]
    computed_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class GeneratedTokens:
    """Generated token ids, including the stop token if there is one, and the numbers of prompt tokens computed and read
    from the cache."""

    token_ids: tuple[int, ...]
    computed_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class _TextGroup:
    """Indices of texts that are computed together after their common prefix of `prefix_length` tokens."""

    prefix_length: int
    indices: list[int]


@dataclass(frozen=True, slots=True)
class _ForwardPass:
    """Indices of texts that are computed together after a prefix. `prefix_is_new`: the prefix was computed for this pass."""

    prefix: CachedPrefix
    indices: list[int]
    prefix_is_new: bool

    def count_cached_tokens(self, position: int) -> int:
        """Tokens from the cache for the text at this position in the pass. A new prefix counts for the first text."""
        is_computed = self.prefix_is_new and position == 0
        return self.prefix.length - (self.prefix.computed_tokens if is_computed else 0)


@dataclass(slots=True)
class _PrefixReader:
    """Computes the prefix of a group when it differs from that of the previous group. Mutable: holds the last prefix."""

    model: Any
    texts: Sequence[TokenIds]
    prefix_cache: PrefixCache
    prefix_ids: TokenIds | None = None
    prefix: CachedPrefix | None = None

    def read_prefix(self, group: _TextGroup) -> _ForwardPass:
        ids = self.texts[group.indices[0]][: group.prefix_length]
        is_new = self.prefix is None or ids != self.prefix_ids
        if self.prefix is None or is_new:
            self.prefix_ids, self.prefix = ids, self.prefix_cache.get_or_compute(self.model, ids)
        return _ForwardPass(self.prefix, group.indices, is_new)


def _group_texts(
    texts: Sequence[TokenIds], extra_tokens: Sequence[int], token_budget: int, model: Any
) -> Iterator[_TextGroup]:
    """Group texts with a common prefix, longest first. `extra_tokens`: how many tokens each text needs besides its own.

    A group has at most `token_budget` tokens to compute and CACHE_BUDGET_FACTOR * `token_budget` tokens in a cache, or it
    is one text.
    """
    packed = uses_packed_attention(model)
    for prefix_group in group_by_prefix(texts):
        prefix_length = prefix_group.prefix_length
        lengths = {index: len(texts[index]) - prefix_length + extra_tokens[index] for index in prefix_group.indices}
        cached_per_row = 0 if packed else prefix_length  # each row's cache repeats the prefix
        group = list[int]()
        for index in sorted(prefix_group.indices, key=lambda index: (-lengths[index], index)):
            rows, longest = len(group) + 1, lengths[group[0]] if group else lengths[index]
            num_tokens = sum(lengths[member] for member in group) + lengths[index] if packed else rows * longest
            num_cached = rows * (longest + cached_per_row)
            if group and (num_tokens > token_budget or num_cached > CACHE_BUDGET_FACTOR * token_budget):
                yield _TextGroup(prefix_length, group)
                group = []
            group.append(index)
        if group:
            yield _TextGroup(prefix_length, group)


def _exclude_completed(groups: Sequence[_TextGroup], completed: Container[int]) -> list[_TextGroup]:
    """The groups without completed indices. Groups that finished before a kill disappear; the others are as without it."""
    remaining = [
        replace(group, indices=[index for index in group.indices if index not in completed]) for group in groups
    ]
    return [group for group in remaining if group.indices]


def score_choices(
    model: Any,
    texts: Sequence[TokenIds],
    choices: Sequence[Sequence[TokenIds]],
    token_budget: int,
    prefix_cache: PrefixCache | None = None,
    completed: Container[int] = (),
) -> Iterator[dict[int, ChoiceLogprobs]]:
    """Compute the summed log-probability of every choice after its text, by the text's index, one pass at a time.

    Indices in `completed` are skipped. No text and no choice may be empty.
    """
    # the last token of a choice is predicted but never an input
    extra_tokens = [sum(len(choice) - 1 for choice in text_choices) for text_choices in choices]
    prefixes = _PrefixReader(model, texts, prefix_cache or PrefixCache())
    for group in _exclude_completed(list(_group_texts(texts, extra_tokens, token_budget, model)), completed):
        forward_pass, scores = prefixes.read_prefix(group), dict[int, ChoiceLogprobs]()
        rows = [
            (list(texts[index][forward_pass.prefix.length :]), [list(choice) for choice in choices[index]])
            for index in forward_pass.indices
        ]
        row_logprobs = _score_rows(model, forward_pass.prefix, rows)
        for position, (index, logprobs) in enumerate(zip(forward_pass.indices, row_logprobs, strict=True)):
            num_cached = forward_pass.count_cached_tokens(position)
            num_computed = len(texts[index]) + extra_tokens[index] - num_cached
            scores[index] = ChoiceLogprobs(logprobs, num_computed, num_cached)
        yield scores


@dataclass(frozen=True, slots=True)
class _BranchLayout:
    """Concatenated texts, each followed by its choices without their last tokens, as branches.

    `tokens`, `positions`, `segments` (0 for a text, 1 and up for its branches): one list per text. `source_indices`: the
    index of the token that predicts each target. `choice_indices`: the choice that each target belongs to.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    segments: list[list[int]]
    source_indices: list[int]
    targets: list[int]
    choice_indices: list[int]

    @classmethod
    def build(cls, rows: Sequence[_ChoiceRow], prefix_length: int, width: int | None) -> _BranchLayout:
        """`prefix_length` tokens precede every text. If `width` is given, texts start `width` tokens apart."""
        layout, start = cls([], [], [], [], [], []), 0
        choice_index = 0
        for text, choices in rows:
            end = prefix_length + len(text)
            tokens, positions, segments = list(text), list(range(prefix_length, end)), [0] * len(text)
            for branch, choice in enumerate(choices, start=1):
                begin = start + len(tokens)
                layout.source_indices.extend([start + len(text) - 1, *range(begin, begin + len(choice) - 1)])
                layout.targets.extend(choice)
                layout.choice_indices.extend([choice_index] * len(choice))
                tokens += choice[:-1]
                positions += range(end, end + len(choice) - 1)
                segments += [branch] * (len(choice) - 1)
                choice_index += 1
            layout.tokens.append(tokens)
            layout.positions.append(positions)
            layout.segments.append(segments)
            start += len(tokens) if width is None else width
        return layout


@torch.inference_mode()
def _score_rows(model: Any, prefix: CachedPrefix, rows: Sequence[_ChoiceRow]) -> list[tuple[float, ...]]:
    packed = uses_packed_attention(model)
    width = max(len(text) + sum(len(choice) - 1 for choice in choices) for text, choices in rows)
    layout = _BranchLayout.build(rows, prefix.length, None if packed else width)
    states = (_forward_packed_rows if packed else _forward_padded_rows)(model, prefix, rows, layout, width)
    device = states.device
    sources, inverse = torch.tensor(layout.source_indices, device=device).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    source_states = states.reshape(-1, states.shape[-1])[sources]
    logprobs = _float32_logprobs(model, source_states, inverse, torch.tensor(layout.targets, device=device)).cpu()
    sums = torch.zeros(layout.choice_indices[-1] + 1).index_add(0, torch.tensor(layout.choice_indices), logprobs)
    remaining = iter(sums.tolist())
    return [tuple(next(remaining) for _ in choices) for _, choices in rows]


def _forward_packed_rows(
    model: Any, prefix: CachedPrefix, rows: Sequence[_ChoiceRow], layout: _BranchLayout, width: int
) -> Tensor:
    device = unwrap_adapter(model).device
    lengths = tuple((len(text), *(len(choice) - 1 for choice in choices)) for text, choices in rows)
    tokens = torch.tensor([list(chain(*layout.tokens))], device=device)
    positions = torch.tensor([list(chain(*layout.positions))], device=device)
    cache = prefix.create_cache(1, tokens.shape[1])
    return forward_packed(model, tokens, positions, PackedLayout(lengths, prefix.length), cache)


def _forward_padded_rows(
    model: Any, prefix: CachedPrefix, rows: Sequence[_ChoiceRow], layout: _BranchLayout, width: int
) -> Tensor:
    def pad(lists: list[list[int]], filler: int) -> Tensor:
        padded = [values + [filler] * (width - len(values)) for values in lists]
        return torch.tensor(padded, device=unwrap_adapter(model).device)

    tokens, positions, segments = pad(layout.tokens, 0), pad(layout.positions, 0), pad(layout.segments, -1)
    return forward_with_prefix(model, tokens, positions, segments, prefix, prefix.create_cache(len(rows), width))


def _float32_logprobs(model: Any, states: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target given `states[sources]`, float32, at a resolution finer than bfloat16.

    A bfloat16 logit of 20 is a multiple of 1/8, so choices with similar probabilities would often tie. Therefore the
    targets' own logits are computed in float32. The normalizer, which all choices of a text share, is not.
    """
    causal = unwrap_adapter(model)
    project, output_layer = get_lm_head(causal), causal.get_output_embeddings()
    normalizers = torch.cat(
        [
            project(chunk).float().logsumexp(1)
            for chunk in states.split(LOGSUMEXP_CHUNK_ROWS)  # type: ignore[no-untyped-call]
        ]
    )
    logits = (states[sources].float() * output_layer.weight[targets].float()).sum(1)
    if output_layer.bias is not None:
        logits = logits + output_layer.bias[targets].float()
    transform = get_logit_transform(causal)
    logprobs: Tensor = (transform(logits) if transform else logits) - normalizers[sources]
    return logprobs


def generate_tokens(
    model: Any,
    texts: Sequence[TokenIds],
    is_finished: StopCondition,
    rngs: Sequence[random.Random],
    token_budget: int,
    *,
    max_new_tokens: int,
    temperature: float,
    prefix_cache: PrefixCache | None = None,
    completed: Container[int] = (),
) -> Iterator[dict[int, GeneratedTokens]]:
    """Generate a continuation of each text, up to and including its stop token, by the text's index, one batch at a time.

    Indices in `completed` are skipped.
    """
    # packed texts are prefilled a few at a time, however many are decoded together
    cache_budget = CACHE_BUDGET_FACTOR * token_budget
    group_budget = cache_budget if uses_packed_attention(model) else cache_budget // 4
    planned = _group_texts(texts, [max_new_tokens] * len(texts), group_budget, model)
    prefixes = _PrefixReader(model, texts, prefix_cache or PrefixCache())
    for groups in _batch_groups(planned, texts, token_budget, model):
        passes = [prefixes.read_prefix(group) for group in _exclude_completed(groups, completed)]
        if not passes:
            continue
        batches = [
            PrefixBatch(
                forward_pass.prefix, [texts[index][forward_pass.prefix.length :] for index in forward_pass.indices]
            )
            for forward_pass in passes
        ]
        outputs = iter(
            decode_batch(
                model,
                batches,
                is_finished,
                [rngs[index] for forward_pass in passes for index in forward_pass.indices],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
        )
        generated = dict[int, GeneratedTokens]()
        for forward_pass in passes:
            for position, index in enumerate(forward_pass.indices):
                num_cached = forward_pass.count_cached_tokens(position)
                generated[index] = GeneratedTokens(tuple(next(outputs)), len(texts[index]) - num_cached, num_cached)
        yield generated


def _batch_groups(
    planned: Iterator[_TextGroup], texts: Sequence[TokenIds], token_budget: int, model: Any
) -> Iterator[list[_TextGroup]]:
    """Groups that are decoded together: one, or with packed attention as many as fit in the caches."""
    groups, num_cached = list[_TextGroup](), 0
    for group in planned:
        size = group.prefix_length + sum(len(texts[index]) - group.prefix_length for index in group.indices)
        exceeds_budget = num_cached + size > CACHE_BUDGET_FACTOR * token_budget
        if groups and (exceeds_budget or not uses_packed_attention(model)):
            yield groups
            groups, num_cached = [], 0
        groups.append(group)
        num_cached += size
    if groups:
        yield groups
