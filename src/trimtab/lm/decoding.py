"""Writing on behind texts, many at a time, token by token."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trimtab.lm.forms import masks_by_kind, unwrapped
from trimtab.lm.logprobs import head
from trimtab.lm.prefixes import Prefix

# Whether a text has ended, asked after each token.
Ended = Callable[[Sequence[int]], bool]


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
    tokens = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in texts], device=device)
    valid = torch.tensor([[False] * (width - len(ids)) + [True] * len(ids) for ids in texts], device=device)
    positions = (valid.long().cumsum(1) - 1).clamp(min=0) + prefix.length
    known = _behind(prefix, valid, positions)
    cache = prefix.cache(len(texts))
    answers: list[list[int]] = [[] for _ in texts]
    live = list(range(len(texts)))
    for _ in range(max_new_tokens):
        states = causal.base_model(
            input_ids=tokens,
            attention_mask=masks_by_kind(causal.config, partial(_mask, positions, *known)),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        # contiguous: torch would otherwise copy the output head once for every row
        logits = project(states[:, -1].contiguous())
        chosen = choose(logits.float(), [draws[place] for place in live], temperature)
        done = []
        for place, token in zip(live, chosen.tolist(), strict=True):
            if not (answers[place] and ended(answers[place])):
                answers[place].append(token)
            done.append(ended(answers[place]))
        if all(done):
            break
        tokens, positions = chosen[:, None], positions[:, -1:] + 1
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
    return answers


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
