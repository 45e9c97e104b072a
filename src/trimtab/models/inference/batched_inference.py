"""Questions put to a model in memory: constant beginnings are read once, and all candidates of a question in one pass."""

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
# Rows of the vocabulary-sized tensor that exist at one time.
LOGSUMEXP_CHUNK_ROWS = 128


@dataclass(frozen=True, slots=True)
class ChoiceLogprobs:
    """Summed log-probabilities of a question's candidates, in nats; tokens that were computed, and read from a cache."""

    logprobs: tuple[float, ...]
    computed_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class GeneratedTokens:
    """New token ids, the end token included where one was written; tokens of the prompt computed, and read from a cache."""

    token_ids: tuple[int, ...]
    computed_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class _TextGroup:
    """Places of texts that are to be read together behind the `shared` tokens that they begin with."""

    prefix_length: int
    indices: list[int]


@dataclass(frozen=True, slots=True)
class _ForwardPass:
    """Places of texts that are read together behind a prefix. `fresh` where the prefix was read for this pass."""

    prefix: CachedPrefix
    indices: list[int]
    prefix_is_new: bool

    def count_cached_tokens(self, number: int) -> int:
        """Tokens that the text of this number in the pass had from a cache: the first text pays for what was read."""
        return self.prefix.length - (self.prefix.computed_tokens if self.prefix_is_new and number == 0 else 0)


@dataclass(slots=True)
class _PrefixReader:
    """What groups begin with, read when the first of a family comes. Not frozen: it holds the prefix that was read last."""

    model: Any
    texts: Sequence[TokenIds]
    prefix_cache: PrefixCache
    prefix_ids: TokenIds | None = None
    prefix: CachedPrefix | None = None

    def read_prefix(self, group: _TextGroup) -> _ForwardPass:
        ids = self.texts[group.indices[0]][: group.prefix_length]
        fresh = self.prefix is None or ids != self.prefix_ids
        if self.prefix is None or fresh:
            self.prefix_ids, self.prefix = ids, self.prefix_cache.get_or_compute(self.model, ids)
        return _ForwardPass(self.prefix, group.indices, fresh)


def _group_texts(texts: Sequence[TokenIds], room: Sequence[int], budget: int, model: Any) -> Iterator[_TextGroup]:
    """Texts with a common beginning together, longest first. `room` is how many more tokens each text needs.

    A group is at most `budget` tokens to read and at most CACHED * budget to hold in a cache, or one text.
    """
    packed = uses_packed_attention(model)
    for family in group_by_prefix(texts):
        own = {place: len(texts[place]) - family.prefix_length + room[place] for place in family.indices}
        kept = 0 if packed else family.prefix_length  # tokens of the beginning that each row has in its cache
        group = list[int]()
        for place in sorted(family.indices, key=lambda place: (-own[place], place)):
            rows, longest = len(group) + 1, own[group[0]] if group else own[place]
            read = sum(own[each] for each in group) + own[place] if packed else rows * longest
            if group and (read > budget or rows * (longest + kept) > CACHE_BUDGET_FACTOR * budget):
                yield _TextGroup(family.prefix_length, group)
                group = []
            group.append(place)
        if group:
            yield _TextGroup(family.prefix_length, group)


def _exclude_completed(groups: Sequence[_TextGroup], known: Container[int]) -> list[_TextGroup]:
    """The groups without the places that are known. Those that were read before a kill are whole, and the rest stay as they
    would have been without it."""
    left = [replace(each, indices=[place for place in each.indices if place not in known]) for each in groups]
    return [each for each in left if each.indices]


def score_choices(
    model: Any,
    texts: Sequence[TokenIds],
    choices: Sequence[Sequence[TokenIds]],
    token_budget: int,
    prefix_cache: PrefixCache | None = None,
    completed: Container[int] = (),
) -> Iterator[dict[int, ChoiceLogprobs]]:
    """The summed log-probability of every candidate behind its text, by the text's place, a pass at a time; none for places
    that are `known`. No text and no candidate may be empty."""
    # the last token of a candidate is predicted, never read
    room = [sum(len(each) - 1 for each in among) for among in choices]
    prefixes = _PrefixReader(model, texts, prefix_cache or PrefixCache())
    for wanted in _exclude_completed(list(_group_texts(texts, room, token_budget, model)), completed):
        group, found = prefixes.read_prefix(wanted), dict[int, ChoiceLogprobs]()
        rows = [
            (list(texts[place][group.prefix.length :]), [list(each) for each in choices[place]])
            for place in group.indices
        ]
        for number, (place, logprobs) in enumerate(
            zip(group.indices, _score_rows(model, group.prefix, rows), strict=True)
        ):
            reused = group.count_cached_tokens(number)
            found[place] = ChoiceLogprobs(logprobs, len(texts[place]) + room[place] - reused, reused)
        yield found


@dataclass(frozen=True, slots=True)
class _BranchLayout:
    """Texts with their candidates as branches behind them, all but their last tokens, one text behind another.

    `tokens`, `positions`, `segments` (0 for a text, 1 and up for its branches): a list a text. `sources`: which token of all
    predicts each target; `owners`: the candidate that a target belongs to.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    segments: list[list[int]]
    source_indices: list[int]
    targets: list[int]
    choice_indices: list[int]

    @classmethod
    def build(cls, rows: Sequence[tuple[list[int], list[list[int]]]], before: int, width: int | None) -> _BranchLayout:
        """`before` tokens come before every text. Where `width` is given, each text is that many tokens apart."""
        laid, start = cls([], [], [], [], [], []), 0
        candidate = 0
        for text, among in rows:
            tokens, positions, segments = list(text), list(range(before, before + len(text))), [0] * len(text)
            for branch, each in enumerate(among, start=1):
                begin = start + len(tokens)
                laid.source_indices.extend([start + len(text) - 1, *range(begin, begin + len(each) - 1)])
                laid.targets.extend(each)
                laid.choice_indices.extend([candidate] * len(each))
                tokens += each[:-1]
                positions += range(before + len(text), before + len(text) + len(each) - 1)
                segments += [branch] * (len(each) - 1)
                candidate += 1
            laid.tokens.append(tokens)
            laid.positions.append(positions)
            laid.segments.append(segments)
            start += len(tokens) if width is None else width
        return laid


@torch.inference_mode()
def _score_rows(
    model: Any, prefix: CachedPrefix, rows: Sequence[tuple[list[int], list[list[int]]]]
) -> list[tuple[float, ...]]:
    packed = uses_packed_attention(model)
    width = max(len(text) + sum(len(each) - 1 for each in among) for text, among in rows)
    laid = _BranchLayout.build(rows, prefix.length, None if packed else width)
    states = (_forward_packed_rows if packed else _forward_padded_rows)(model, prefix, rows, laid, width)
    device = states.device
    places, which = torch.tensor(laid.source_indices, device=device).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    chosen = states.reshape(-1, states.shape[-1])[places]
    each_token = _float32_logprobs(model, chosen, which, torch.tensor(laid.targets, device=device)).cpu()
    sums = torch.zeros(laid.choice_indices[-1] + 1).index_add(0, torch.tensor(laid.choice_indices), each_token)
    found = iter(sums.tolist())
    return [tuple(next(found) for _ in among) for _, among in rows]


def _forward_packed_rows(
    model: Any, prefix: CachedPrefix, rows: Sequence[tuple[list[int], list[list[int]]]], laid: _BranchLayout, width: int
) -> Tensor:
    device = unwrap_adapter(model).device
    lengths = tuple((len(text), *(len(each) - 1 for each in among)) for text, among in rows)
    tokens = torch.tensor([list(chain(*laid.tokens))], device=device)
    positions = torch.tensor([list(chain(*laid.positions))], device=device)
    return forward_packed(
        model, tokens, positions, PackedLayout(lengths, prefix.length), prefix.create_cache(1, tokens.shape[1])
    )


def _forward_padded_rows(
    model: Any, prefix: CachedPrefix, rows: Sequence[tuple[list[int], list[list[int]]]], laid: _BranchLayout, width: int
) -> Tensor:
    def padded(lists: list[list[int]], filler: int) -> Tensor:
        filled = [each + [filler] * (width - len(each)) for each in lists]
        return torch.tensor(filled, device=unwrap_adapter(model).device)

    tokens, positions, segments = padded(laid.tokens, 0), padded(laid.positions, 0), padded(laid.segments, -1)
    return forward_with_prefix(model, tokens, positions, segments, prefix, prefix.create_cache(len(rows), width))


def _float32_logprobs(model: Any, states: Tensor, which: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target behind `states[which]`, float32, with differences that are finer than bfloat16.

    A logit of 20 in bfloat16 is a multiple of an eighth, and candidates that are nearly as likely would often tie. So the
    targets' own logits are products in float32; what all candidates of a question have in common stays as it is.
    """
    causal = unwrap_adapter(model)
    project, layer = get_lm_head(causal), causal.get_output_embeddings()
    totals = torch.cat([project(part).float().logsumexp(1) for part in states.split(LOGSUMEXP_CHUNK_ROWS)])  # type: ignore[no-untyped-call]
    own = (states[which].float() * layer.weight[targets].float()).sum(1)
    if layer.bias is not None:
        own = own + layer.bias[targets].float()
    bend = get_logit_transform(causal)
    fine: Tensor = (bend(own) if bend else own) - totals[which]
    return fine


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
    """What the model writes behind each text, up to and with the token that ended it, by the text's place, as many at a time
    as are written together; nothing for places that are `known`."""
    # packed texts are read a few at a time, however many are written on together
    room = (
        CACHE_BUDGET_FACTOR * token_budget if uses_packed_attention(model) else CACHE_BUDGET_FACTOR * token_budget // 4
    )
    planned = _group_texts(texts, [max_new_tokens] * len(texts), room, model)
    prefixes = _PrefixReader(model, texts, prefix_cache or PrefixCache())
    for together in _batch_groups(planned, texts, token_budget, model):
        groups, found = (
            [prefixes.read_prefix(each) for each in _exclude_completed(together, completed)],
            dict[int, GeneratedTokens](),
        )
        if not groups:
            continue
        answers = iter(
            decode_batch(
                model,
                [
                    PrefixBatch(each.prefix, [texts[place][each.prefix.length :] for place in each.indices])
                    for each in groups
                ],
                is_finished,
                [rngs[place] for each in groups for place in each.indices],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
        )
        for group in groups:
            for number, place in enumerate(group.indices):
                reused = group.count_cached_tokens(number)
                found[place] = GeneratedTokens(tuple(next(answers)), len(texts[place]) - reused, reused)
        yield found


def _batch_groups(
    planned: Iterator[_TextGroup], texts: Sequence[TokenIds], budget: int, model: Any
) -> Iterator[list[_TextGroup]]:
    """Groups that are written on at a time: one, or, where the model takes packed rows, as many as the caches may hold."""
    groups, held = list[_TextGroup](), 0
    for each in planned:
        size = each.prefix_length + sum(len(texts[place]) - each.prefix_length for place in each.indices)
        if groups and (held + size > CACHE_BUDGET_FACTOR * budget or not uses_packed_attention(model)):
            yield groups
            groups, held = [], 0
        groups.append(each)
        held += size
    if groups:
        yield groups
