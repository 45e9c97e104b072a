"""Sampling answers. A prompt's draws come from the seed and its own id, so neither order nor batching moves them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from trimtab.lm.chat import Chat
from trimtab.lm.decoding import Part, decode
from trimtab.lm.forms import choose_form, require_masks
from trimtab.lm.prefixes import Prefix
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
    choose_form(model)  # and with it the attention that is fastest for a token at a time
    require_masks(model)
    encoded = [(prompt_id, prompt, chat.prompt_ids(prompt)) for prompt_id, prompt in prompts]
    encoded.sort(key=lambda item: (-len(item[2]), item[0]))
    longest = max((len(ids) for _, _, ids in encoded), default=0) + sampling.max_new_tokens
    rows = max(1, CACHED * token_budget // longest)
    for start in range(0, len(encoded), rows):
        batch = encoded[start : start + rows]
        if not any(prompt_id in wanted for prompt_id, _, _ in batch):
            continue
        draws = [random.Random(f"{sampling.seed}:{prompt_id}") for prompt_id, _, _ in batch]
        answers = decode(
            model,
            [Part(Prefix(0, ()), [ids for _, _, ids in batch])],
            lambda ids: ids[-1] in chat.stop_ids,
            draws,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
        )
        yield [
            _completion(chat, prompt_id, prompt, answer)
            for (prompt_id, prompt, _), answer in zip(batch, answers, strict=True)
        ]


def _completion(chat: Chat, prompt_id: str, prompt: Prompt, answer: list[int]) -> Completion:
    stop: Literal["end", "length"] = "end" if answer and answer[-1] in chat.stop_ids else "length"
    return Completion(prompt_id=prompt_id, prompt=prompt, text=chat.decode(answer), n_tokens=len(answer), stop=stop)
