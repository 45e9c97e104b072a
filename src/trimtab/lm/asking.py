"""Questions put to a model in memory: constant beginnings are read once, and all candidates of a question in one pass."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from trimtab.lm.attention import Layout
from trimtab.lm.decoding import Ended, Part, decode
from trimtab.lm.forms import is_packed, unwrapped
from trimtab.lm.generate import CACHED
from trimtab.lm.head import bend_of, head
from trimtab.lm.prefixes import Beginnings, Prefix, families, packed_step, step

Ids = Sequence[int]
# Rows of the vocabulary-sized tensor that exist at one time.
FINE_ROWS = 128


@dataclass(frozen=True, slots=True)
class Sums:
    """Summed log-probabilities of a question's candidates, in nats; tokens that were computed, and read from a cache."""

    logprobs: tuple[float, ...]
    computed: int
    reused: int


@dataclass(frozen=True, slots=True)
class Written:
    """New token ids, the end token included where one was written; tokens of the prompt computed, and read from a cache."""

    ids: tuple[int, ...]
    computed: int
    reused: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Places of texts that are to be read together behind the `shared` tokens that they begin with."""

    shared: int
    places: list[int]


@dataclass(frozen=True, slots=True)
class _Pass:
    """Places of texts that are read together behind a prefix. `fresh` where the prefix was read for this pass."""

    prefix: Prefix
    places: list[int]
    fresh: bool

    def reused(self, number: int) -> int:
        """Tokens that the text of this number in the pass had from a cache: the first text pays for what was read."""
        return self.prefix.length - (self.prefix.computed if self.fresh and number == 0 else 0)


@dataclass(slots=True)
class _Prefixes:
    """What groups begin with, read when the first of a family comes. Not frozen: it holds the prefix that was read last."""

    model: Any
    texts: Sequence[Ids]
    beginnings: Beginnings
    ids: Ids | None = None
    prefix: Prefix | None = None

    def behind(self, group: _Group) -> _Pass:
        ids = self.texts[group.places[0]][: group.shared]
        fresh = self.prefix is None or ids != self.ids
        if self.prefix is None or fresh:
            self.ids, self.prefix = ids, self.beginnings.read(self.model, ids)
        return _Pass(self.prefix, group.places, fresh)


def _groups(texts: Sequence[Ids], room: Sequence[int], budget: int, model: Any) -> Iterator[_Group]:
    """Texts with a common beginning together, longest first. `room` is how many more tokens each text needs.

    A group is at most `budget` tokens to read and at most CACHED * budget to hold in a cache, or one text.
    """
    packed = is_packed(model)
    for family in families(texts):
        own = {place: len(texts[place]) - family.shared + room[place] for place in family.places}
        kept = 0 if packed else family.shared  # tokens of the beginning that each row has in its cache
        group = list[int]()
        for place in sorted(family.places, key=lambda place: (-own[place], place)):
            rows, longest = len(group) + 1, own[group[0]] if group else own[place]
            read = sum(own[each] for each in group) + own[place] if packed else rows * longest
            if group and (read > budget or rows * (longest + kept) > CACHED * budget):
                yield _Group(family.shared, group)
                group = []
            group.append(place)
        if group:
            yield _Group(family.shared, group)


def _unknown(groups: Sequence[_Group], known: Container[int]) -> list[_Group]:
    """The groups without the places that are known. Those that were read before a kill are whole, and the rest stay as they
    would have been without it."""
    left = [replace(each, places=[place for place in each.places if place not in known]) for each in groups]
    return [each for each in left if each.places]


def weigh(
    model: Any,
    texts: Sequence[Ids],
    candidates: Sequence[Sequence[Ids]],
    budget: int,
    beginnings: Beginnings | None = None,
    known: Container[int] = (),
) -> Iterator[dict[int, Sums]]:
    """The summed log-probability of every candidate behind its text, by the text's place, a pass at a time; none for places
    that are `known`. No text and no candidate may be empty."""
    # the last token of a candidate is predicted, never read
    room = [sum(len(each) - 1 for each in among) for among in candidates]
    prefixes = _Prefixes(model, texts, beginnings or Beginnings())
    for wanted in _unknown(list(_groups(texts, room, budget, model)), known):
        group, found = prefixes.behind(wanted), dict[int, Sums]()
        rows = [
            (list(texts[place][group.prefix.length :]), [list(each) for each in candidates[place]])
            for place in group.places
        ]
        for number, (place, logprobs) in enumerate(
            zip(group.places, _weigh_rows(model, group.prefix, rows), strict=True)
        ):
            reused = group.reused(number)
            found[place] = Sums(logprobs, len(texts[place]) + room[place] - reused, reused)
        yield found


@dataclass(frozen=True, slots=True)
class _Laid:
    """Texts with their candidates as branches behind them, all but their last tokens, one text behind another.

    `tokens`, `positions`, `segments` (0 for a text, 1 and up for its branches): a list a text. `sources`: which token of all
    predicts each target; `owners`: the candidate that a target belongs to.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    segments: list[list[int]]
    sources: list[int]
    targets: list[int]
    owners: list[int]

    @classmethod
    def of(cls, rows: Sequence[tuple[list[int], list[list[int]]]], before: int, width: int | None) -> _Laid:
        """`before` tokens come before every text. Where `width` is given, each text is that many tokens apart."""
        laid, start = cls([], [], [], [], [], []), 0
        candidate = 0
        for text, among in rows:
            tokens, positions, segments = list(text), list(range(before, before + len(text))), [0] * len(text)
            for branch, each in enumerate(among, start=1):
                begin = start + len(tokens)
                laid.sources.extend([start + len(text) - 1, *range(begin, begin + len(each) - 1)])
                laid.targets.extend(each)
                laid.owners.extend([candidate] * len(each))
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
def _weigh_rows(
    model: Any, prefix: Prefix, rows: Sequence[tuple[list[int], list[list[int]]]]
) -> list[tuple[float, ...]]:
    packed = is_packed(model)
    width = max(len(text) + sum(len(each) - 1 for each in among) for text, among in rows)
    laid = _Laid.of(rows, prefix.length, None if packed else width)
    states = (_packed_states if packed else _padded_states)(model, prefix, rows, laid, width)
    device = states.device
    places, which = torch.tensor(laid.sources, device=device).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    chosen = states.reshape(-1, states.shape[-1])[places]
    each_token = _fine_logprobs(model, chosen, which, torch.tensor(laid.targets, device=device)).cpu()
    sums = torch.zeros(laid.owners[-1] + 1).index_add(0, torch.tensor(laid.owners), each_token)
    found = iter(sums.tolist())
    return [tuple(next(found) for _ in among) for _, among in rows]


def _packed_states(
    model: Any, prefix: Prefix, rows: Sequence[tuple[list[int], list[list[int]]]], laid: _Laid, width: int
) -> Tensor:
    device = unwrapped(model).device
    lengths = tuple((len(text), *(len(each) - 1 for each in among)) for text, among in rows)
    tokens = torch.tensor([list(chain(*laid.tokens))], device=device)
    positions = torch.tensor([list(chain(*laid.positions))], device=device)
    return packed_step(model, tokens, positions, Layout(lengths, prefix.length), prefix.cache(1, tokens.shape[1]))


def _padded_states(
    model: Any, prefix: Prefix, rows: Sequence[tuple[list[int], list[list[int]]]], laid: _Laid, width: int
) -> Tensor:
    def padded(lists: list[list[int]], filler: int) -> Tensor:
        filled = [each + [filler] * (width - len(each)) for each in lists]
        return torch.tensor(filled, device=unwrapped(model).device)

    tokens, positions, segments = padded(laid.tokens, 0), padded(laid.positions, 0), padded(laid.segments, -1)
    return step(model, tokens, positions, segments, prefix, prefix.cache(len(rows), width))


def _fine_logprobs(model: Any, states: Tensor, which: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of each target behind `states[which]`, float32, with differences that are finer than bfloat16.

    A logit of 20 in bfloat16 is a multiple of an eighth, and candidates that are nearly as likely would often tie. So the
    targets' own logits are products in float32; what all candidates of a question have in common stays as it is.
    """
    causal = unwrapped(model)
    project, layer = head(causal), causal.get_output_embeddings()
    totals = torch.cat([project(part).float().logsumexp(1) for part in states.split(FINE_ROWS)])  # type: ignore[no-untyped-call]
    own = (states[which].float() * layer.weight[targets].float()).sum(1)
    if layer.bias is not None:
        own = own + layer.bias[targets].float()
    bend = bend_of(causal)
    fine: Tensor = (bend(own) if bend else own) - totals[which]
    return fine


def write(
    model: Any,
    texts: Sequence[Ids],
    ended: Ended,
    draws: Sequence[random.Random],
    budget: int,
    *,
    max_new_tokens: int,
    temperature: float,
    beginnings: Beginnings | None = None,
    known: Container[int] = (),
) -> Iterator[dict[int, Written]]:
    """What the model writes behind each text, up to and with the token that ended it, by the text's place, as many at a time
    as are written together; nothing for places that are `known`."""
    # packed texts are read a few at a time, however many are written on together
    room = CACHED * budget if is_packed(model) else CACHED * budget // 4
    planned = _groups(texts, [max_new_tokens] * len(texts), room, model)
    prefixes = _Prefixes(model, texts, beginnings or Beginnings())
    for together in _together(planned, texts, budget, model):
        groups, found = [prefixes.behind(each) for each in _unknown(together, known)], dict[int, Written]()
        if not groups:
            continue
        answers = iter(
            decode(
                model,
                [Part(each.prefix, [texts[place][each.prefix.length :] for place in each.places]) for each in groups],
                ended,
                [draws[place] for each in groups for place in each.places],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
        )
        for group in groups:
            for number, place in enumerate(group.places):
                reused = group.reused(number)
                found[place] = Written(tuple(next(answers)), len(texts[place]) - reused, reused)
        yield found


def _together(planned: Iterator[_Group], texts: Sequence[Ids], budget: int, model: Any) -> Iterator[list[_Group]]:
    """Groups that are written on at a time: one, or, where the model takes packed rows, as many as the caches may hold."""
    groups, held = list[_Group](), 0
    for each in planned:
        size = each.shared + sum(len(texts[place]) - each.shared for place in each.places)
        if groups and (held + size > CACHED * budget or not is_packed(model)):
            yield groups
            groups, held = [], 0
        groups.append(each)
        held += size
    if groups:
        yield groups
