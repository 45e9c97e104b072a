"""Sampling answers. A prompt's draws come from the seed and its own id, so neither order nor batching moves them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from trimtab.lm.chat import Chat
from trimtab.lm.logprobs import head
from trimtab.lm.sampling import Sampling
from trimtab.types import Completion, Prompt

# Tokens in the caches of all rows of a batch, as a multiple of those in one forward pass: a step of 150 rows takes little
# longer than one of 50, since both read every weight once.
CACHED = 16


def generate(
    model: Any,
    chat: Chat,
    prompts: Sequence[tuple[str, Prompt]],
    sampling: Sampling,
    wanted: Collection[str],
    token_budget: int,
) -> Iterator[list[Completion]]:
    """Answers to (id, prompt) pairs, a batch at a time, longest prompts first.

    Batches are formed from all prompts, so that a resumed run forms the same ones; those without a `wanted` id are left out.
    """
    encoded = [(prompt_id, prompt, chat.prompt_ids(prompt)) for prompt_id, prompt in prompts]
    encoded.sort(key=lambda item: (-len(item[2]), item[0]))
    longest = max((len(ids) for _, _, ids in encoded), default=0) + sampling.max_new_tokens
    rows = max(1, CACHED * token_budget // longest)
    for start in range(0, len(encoded), rows):
        batch = encoded[start : start + rows]
        if not any(prompt_id in wanted for prompt_id, _, _ in batch):
            continue
        draws = [random.Random(f"{sampling.seed}:{prompt_id}") for prompt_id, _, _ in batch]
        answers = _decode(model, [ids for _, _, ids in batch], chat.stop_ids, draws, sampling)
        yield [
            _completion(chat, prompt_id, prompt, answer)
            for (prompt_id, prompt, _), answer in zip(batch, answers, strict=True)
        ]


def _completion(chat: Chat, prompt_id: str, prompt: Prompt, answer: list[int]) -> Completion:
    stop: Literal["end", "length"] = "end" if answer and answer[-1] in chat.stop_ids else "length"
    return Completion(prompt_id=prompt_id, prompt=prompt, text=chat.decode(answer), n_tokens=len(answer), stop=stop)


@torch.inference_mode()
def _decode(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], draws: Sequence[random.Random], sampling: Sampling
) -> list[list[int]]:
    """New token ids for each prompt, the stop token included. Rows that have ended leave the batch once half have."""
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(ids)) + ids for ids in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
    cache = DynamicCache(config=model.config)
    project = head(model)
    answers: list[list[int]] = [[] for _ in prompts]
    live = list(range(len(prompts)))
    for _ in range(sampling.max_new_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        states = model.base_model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        # contiguous: torch would otherwise copy the output head once for every row
        logits = project(states[:, -1].contiguous())
        chosen = _choose(logits.float(), [draws[place] for place in live], sampling.temperature)
        ended = []
        for place, token in zip(live, chosen.tolist(), strict=True):
            if not (answers[place] and answers[place][-1] in stop):
                answers[place].append(token)
            ended.append(answers[place][-1] in stop)
        if all(ended):
            break
        tokens, mask = chosen[:, None], torch.cat([mask, mask.new_ones((len(live), 1))], dim=1)
        if 2 * sum(ended) >= len(live):
            stay = [row for row, done in enumerate(ended) if not done]
            keep = torch.tensor(stay, device=device)
            cache.batch_select_indices(keep)
            tokens, mask, live = tokens[keep], mask[keep], [live[row] for row in stay]
    return answers


def _choose(logits: Tensor, draws: Sequence[random.Random], temperature: float) -> Tensor:
    """One token a row: the likeliest at temperature 0, else where the row's own uniform draw falls in its distribution."""
    if temperature == 0:
        return logits.argmax(1)
    shares = torch.softmax(logits / temperature, dim=1).double().cumsum(1)
    points = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64, device=logits.device)
    return torch.searchsorted(shares, points * shares[:, -1:])[:, 0].clamp(max=logits.shape[1] - 1)
