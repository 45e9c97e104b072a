"""Sampling answers. A prompt's draws come from the seed and its own id, so neither order nor batching moves them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from trimtab.models.chat import ChatTokenizer
from trimtab.models.inference.decoding import PrefixBatch, decode_batch
from trimtab.models.inference.prefix_cache import CachedPrefix
from trimtab.models.inference.sampling import Sampling
from trimtab.models.packing.layout_probe import require_mask_support, select_layout
from trimtab.types import Completion, Prompt

# Tokens in the caches of all rows of a batch, as a multiple of those in one forward pass: a step of 150 rows takes little
# longer than one of 50, since both read every weight once.
CACHE_BUDGET_FACTOR = 16


def sample_completions(
    model: Any,
    chat: ChatTokenizer,
    prompts: Sequence[tuple[str, Prompt]],
    sampling: Sampling,
    needed_ids: Collection[str],
    token_budget: int,
) -> Iterator[list[Completion]]:
    """Answers to (id, prompt) pairs, a batch at a time, longest prompts first.

    Batches are formed from all prompts, so that a resumed run forms the same ones; those without a `wanted` id are left out.
    """
    select_layout(model)  # and with it the attention that is fastest for a token at a time
    require_mask_support(model)
    encoded = [(prompt_id, prompt, chat.encode_prompt(prompt)) for prompt_id, prompt in prompts]
    encoded.sort(key=lambda item: (-len(item[2]), item[0]))
    longest = max((len(ids) for _, _, ids in encoded), default=0) + sampling.max_new_tokens
    rows = max(1, CACHE_BUDGET_FACTOR * token_budget // longest)
    for start in range(0, len(encoded), rows):
        batch = encoded[start : start + rows]
        if not any(prompt_id in needed_ids for prompt_id, _, _ in batch):
            continue
        draws = [random.Random(f"{sampling.seed}:{prompt_id}") for prompt_id, _, _ in batch]
        answers = decode_batch(
            model,
            [PrefixBatch(CachedPrefix(0, ()), [ids for _, _, ids in batch])],
            lambda ids: ids[-1] in chat.stop_token_ids,
            draws,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
        )
        yield [
            _build_completion(chat, prompt_id, prompt, answer)
            for (prompt_id, prompt, _), answer in zip(batch, answers, strict=True)
        ]


def _build_completion(chat: ChatTokenizer, prompt_id: str, prompt: Prompt, answer: list[int]) -> Completion:
    stop: Literal["end", "length"] = "end" if answer and answer[-1] in chat.stop_token_ids else "length"
    return Completion(
        prompt_id=prompt_id, prompt=prompt, text=chat.decode(answer), n_tokens=len(answer), finish_reason=stop
    )
