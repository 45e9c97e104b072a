"""Writing on behind texts, many at a time, token by token."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from trimtab.lm.forms import is_packed, last_states, masks_by_kind, unwrapped
from trimtab.lm.logprobs import head
from trimtab.lm.prefixes import Prefix
from trimtab.lm.rows import Row, lay_out

# Whether a text has ended, asked after each token.
Ended = Callable[[Sequence[int]], bool]
# Tokens of texts that are read in one pass.
READ = 1024


@torch.inference_mode()
def decode(
    model: Any,
    prefix: Prefix,
    texts: Sequence[Sequence[int]],
    ended: Ended,
    draws: Sequence[random.Random],
    *,
    max_new_tokens: int,
    temperature: float,
) -> list[list[int]]:
    """New token ids for each text behind the prefix, the last one being that which ended it.

    Rows that have ended leave the batch once half have. Positions and masks are kept here and not derived, so that padding
    between the prefix and a text counts for nothing, in sliding windows too.
    """
    causal = unwrapped(model)
    device, project = causal.device, head(causal)
    width = max(map(len, texts))
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for ids in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + prefix.length
    known = _behind(prefix, valid, positions)
    packed = not prefix.length and is_packed(model)
    room = width + max_new_tokens
    last, cache = (
        _read_packed(model, texts, room) if packed else _read_padded(causal, prefix, texts, positions, known, room)
    )
    answers: list[list[int]] = [[] for _ in texts]
    live = list(range(len(texts)))
    positions = positions[:, -1:]
    for number in range(max_new_tokens):
        chosen = choose(project(last).float(), [draws[place] for place in live], temperature)
        done = []
        for place, token in zip(live, chosen.tolist(), strict=True):
            if not (answers[place] and ended(answers[place])):
                answers[place].append(token)
            done.append(ended(answers[place]))
        if all(done) or number == max_new_tokens - 1:
            break
        tokens, positions = chosen[:, None], positions + 1
        known = (
            torch.cat([known[0], torch.ones_like(tokens, dtype=torch.bool)], 1),
            torch.cat([known[1], positions], 1),
        )
        if 2 * sum(done) >= len(live):
            stay = [row for row, over in enumerate(done) if not over]
            keep = torch.tensor(stay, device=device)
            cache.batch_select_indices(keep)
            tokens, positions, live = tokens[keep], positions[keep], [live[row] for row in stay]
            known = (known[0][keep], known[1][keep])
        last = _step(causal, tokens, positions, known, cache)
    return answers


def _step(causal: Any, tokens: Tensor, positions: Tensor, known: tuple[Tensor, Tensor], cache: Any) -> Tensor:
    """The state of the last token of each row, shape (rows, d)."""
    states = causal.base_model(
        input_ids=tokens,
        attention_mask=masks_by_kind(causal.config, partial(_mask, positions, *known)),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    # contiguous: torch would otherwise copy the output head once for every row
    return states[:, -1].contiguous()  # type: ignore[no-any-return]


def _read_padded(
    causal: Any,
    prefix: Prefix,
    texts: Sequence[Sequence[int]],
    positions: Tensor,
    known: tuple[Tensor, Tensor],
    room: int,
) -> tuple[Tensor, Any]:
    """The texts behind the prefix, padded on the left: their last states, and the cache."""
    width, cache = positions.shape[1], prefix.cache(len(texts), room)
    tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in texts], device=causal.device)
    return _step(causal, tokens, positions, known, cache), cache


def _read_packed(model: Any, texts: Sequence[Sequence[int]], room: int) -> tuple[Tensor, Any]:
    """The texts read one behind another, a pass at a time: as many tokens as there are, however unlike their lengths."""
    width = max(map(len, texts))
    found: list[Tensor] = []
    buffers: list[tuple[Tensor, Tensor]] = []
    for places in _passes([len(ids) for ids in texts]):
        rows = [Row(prompt=tuple(texts[place]), first=()) for place in places]
        cache = DynamicCache()
        states = last_states(model, lay_out(rows, "packed", 0).to(unwrapped(model).device), cache)
        ends = torch.tensor([len(row.prompt) for row in rows]).cumsum(0)
        found.append(states[ends - 1])
        for number, layer in enumerate(cache.layers):
            if len(buffers) == number:
                _, heads, _, size = layer.keys.shape
                keys = layer.keys.new_zeros(len(texts), heads, width, size)
                buffers.append((keys, layer.values.new_zeros(len(texts), heads, width, layer.values.shape[-1])))
            for place, row, end in zip(places, rows, ends.tolist(), strict=True):
                own = slice(end - len(row.prompt), end)
                buffers[number][0][place, :, width - len(row.prompt) :] = layer.keys[0, :, own]
                buffers[number][1][place, :, width - len(row.prompt) :] = layer.values[0, :, own]
    return torch.cat(found), Prefix(width, tuple(buffers)).cache(len(texts), room - width)


def _passes(lengths: Sequence[int]) -> list[list[int]]:
    """Places in their order, cut where a pass would hold more than READ tokens."""
    passes: list[list[int]] = [[]]
    for place, length in enumerate(lengths):
        if passes[-1] and sum(lengths[other] for other in passes[-1]) + length > READ:
            passes.append([])
        passes[-1].append(place)
    return passes


def _behind(prefix: Prefix, valid: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the keys count, and their positions: the prefix's, then the text's own; shape (rows, prefix + T)."""
    before = torch.arange(prefix.length, device=valid.device).expand(len(valid), -1)
    return torch.cat([torch.ones_like(before, dtype=torch.bool), valid], 1), torch.cat([before, positions], 1)


def _mask(asking: Tensor, valid: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """True where a token may look: boolean, shape (rows, 1, T, keys). Padding sees itself alone."""
    away = asking[:, :, None] - positions[:, None, :]
    seen = (away >= 0) & valid[:, None, :]
    if window is not None:
        seen &= away < window
    width, keys = asking.shape[1], positions.shape[1]
    itself = torch.zeros(width, keys, dtype=torch.bool, device=seen.device)
    itself[:, keys - width :] = torch.eye(width, dtype=torch.bool, device=seen.device)
    return (seen | itself)[:, None]


def choose(logits: Tensor, draws: Sequence[random.Random], temperature: float) -> Tensor:
    """One token a row: the likeliest at temperature 0, else where the row's own uniform draw falls in its distribution."""
    if temperature == 0:
        return logits.argmax(1)
    shares = torch.softmax(logits / temperature, dim=1).double().cumsum(1)
    points = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64, device=logits.device)
    return torch.searchsorted(shares, points * shares[:, -1:])[:, 0].clamp(max=logits.shape[1] - 1)
