"""Questions put to a model in memory: constant beginnings are read once, and all candidates of a question in one pass."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trimtab.lm.decoding import Ended, decode
from trimtab.lm.forms import unwrapped
from trimtab.lm.generate import CACHED
from trimtab.lm.logprobs import head
from trimtab.lm.prefixes import Prefix, families, read_prefix, step

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
class _Pass:
    """Places of texts that are read together behind a prefix. `fresh` where the prefix was read for this pass."""

    prefix: Prefix
    places: list[int]
    fresh: bool

    def reused(self, number: int) -> int:
        """Tokens that the text of this number in the pass had from a cache: the first text pays for the prefix."""
        return 0 if self.fresh and number == 0 else self.prefix.length


def _passes(texts: Sequence[Ids], room: Sequence[int], budget: int, model: Any) -> Iterator[_Pass]:
    """Texts with a common beginning together, longest first. `room` is how many more tokens each text needs.

    A pass reads at most `budget` tokens and holds at most CACHED * budget in its cache, or one text.
    """
    for family in families(texts):
        prefix = read_prefix(model, list(texts[family.places[0]][: family.shared]))
        own = {place: len(texts[place]) - family.shared + room[place] for place in family.places}
        fresh, group = True, list[int]()
        for place in sorted(family.places, key=lambda place: (-own[place], place)):
            rows, longest = len(group) + 1, own[group[0]] if group else own[place]
            if group and (rows * longest > budget or rows * (longest + family.shared) > CACHED * budget):
                yield _Pass(prefix, group, fresh)
                fresh, group = False, []
            group.append(place)
        if group:
            yield _Pass(prefix, group, fresh)


def weigh(model: Any, texts: Sequence[Ids], candidates: Sequence[Sequence[Ids]], budget: int) -> list[Sums]:
    """The summed log-probability of every candidate behind its text. No text and no candidate may be empty."""
    # the last token of a candidate is predicted, never read
    room = [sum(len(each) - 1 for each in among) for among in candidates]
    found: dict[int, Sums] = {}
    for group in _passes(texts, room, budget, model):
        rows = [
            (list(texts[place][group.prefix.length :]), [list(each) for each in candidates[place]])
            for place in group.places
        ]
        for number, (place, logprobs) in enumerate(
            zip(group.places, _weigh_rows(model, group.prefix, rows), strict=True)
        ):
            reused = group.reused(number)
            found[place] = Sums(logprobs, len(texts[place]) + room[place] - reused, reused)
    return [found[place] for place in range(len(texts))]


@torch.inference_mode()
def _weigh_rows(
    model: Any, prefix: Prefix, rows: Sequence[tuple[list[int], list[list[int]]]]
) -> list[tuple[float, ...]]:
    """Each row is a text with its candidates as branches behind it, all but their last tokens."""
    width = max(len(text) + sum(len(each) - 1 for each in among) for text, among in rows)
    tokens = torch.zeros((len(rows), width), dtype=torch.long)
    positions, segments = torch.zeros_like(tokens), torch.full_like(tokens, -1)
    sources, targets, owners = list[int](), list[int](), list[int]()
    n_candidates = 0
    for row, (text, among) in enumerate(rows):
        end = len(text)
        tokens[row, :end] = torch.tensor(text)
        positions[row, :end] = torch.arange(end) + prefix.length
        segments[row, :end] = 0
        for branch, each in enumerate(among, start=1):
            read = slice(end, end + len(each) - 1)
            tokens[row, read] = torch.tensor(each[:-1], dtype=torch.long)
            positions[row, read] = torch.arange(len(each) - 1) + prefix.length + len(text)
            segments[row, read] = branch
            sources += [row * width + len(text) - 1, *range(row * width + read.start, row * width + read.stop)]
            targets += each
            owners += [n_candidates] * len(each)
            n_candidates, end = n_candidates + 1, read.stop
    device = unwrapped(model).device
    states = step(
        model, tokens.to(device), positions.to(device), segments.to(device), prefix, prefix.cache(len(rows), width)
    )
    places, which = torch.tensor(sources, device=device).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    chosen = states.reshape(-1, states.shape[-1])[places]
    each_token = _fine_logprobs(model, chosen, which, torch.tensor(targets, device=device)).cpu()
    sums = iter(torch.zeros(n_candidates).index_add(0, torch.tensor(owners), each_token).tolist())
    return [tuple(next(sums) for _ in among) for _, among in rows]


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
    cap = getattr(causal.config, "final_logit_softcapping", None)
    fine: Tensor = (torch.tanh(own / cap) * cap if cap else own) - totals[which]
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
) -> list[Written]:
    """What the model writes behind each text, up to and with the token that ended it."""
    found: dict[int, Written] = {}
    for group in _passes(texts, [max_new_tokens] * len(texts), CACHED * budget // 4, model):
        answers = decode(
            model,
            group.prefix,
            [texts[place][group.prefix.length :] for place in group.places],
            ended,
            [draws[place] for place in group.places],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
        )
        for number, (place, ids) in enumerate(zip(group.places, answers, strict=True)):
            reused = group.reused(number)
            found[place] = Written(tuple(ids), len(texts[place]) - reused, reused)
    return [found[place] for place in range(len(texts))]
