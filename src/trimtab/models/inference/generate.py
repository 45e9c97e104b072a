"""Generate responses to prompts.

The random numbers of a prompt come from the seed and its ID, so results do not depend on order or batching.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.models.chat import ChatTokenizer
from trimtab.models.inference.decoding import PrefixBatch, SampledLogprobs, StopCondition, decode_batch
from trimtab.models.inference.prefix_cache import CachedPrefix
from trimtab.models.inference.sampling import Sampling
from trimtab.models.packing.layout_probe import require_mask_support, select_layout
from trimtab.types import Completion, Prompt

# Tokens in the KV caches of a batch, as a multiple of the tokens in one forward pass. A decoding step with 150 rows takes only
# slightly longer than one with 50, since both read every weight once.
CACHE_BUDGET_FACTOR = 16

# Tokens of white space before a stop text with which it is still found at once.
WHITE_SPACE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class SampledCompletion:
    """A completion with its tokens, and their summed log-probability at temperature 1, in nats."""

    completion: Completion
    token_ids: tuple[int, ...]
    logprob: float


def sample_completions(
    model: Any,
    chat: ChatTokenizer,
    prompts: Sequence[tuple[str, Prompt]],
    sampling: Sampling,
    token_budget: int,
) -> Iterator[list[SampledCompletion]]:
    """Generate responses to (ID, prompt) pairs, one batch at a time, longest prompts first.

    Batches are formed from these prompts: for the same bytes, pass the same prompts.
    """
    select_layout(model)  # also selects the fastest attention for single-token steps
    require_mask_support(model)
    encoded = [(prompt_id, prompt, chat.encode_prompt(prompt)) for prompt_id, prompt in prompts]
    encoded.sort(key=lambda item: (-len(item[2]), item[0]))
    longest = max((len(ids) for _, _, ids in encoded), default=0) + sampling.max_new_tokens
    rows = max(1, CACHE_BUDGET_FACTOR * token_budget // longest)
    is_finished = build_stop_condition(chat, sampling.stop)
    for start in range(0, len(encoded), rows):
        batch = encoded[start : start + rows]
        rngs = [random.Random(f"{sampling.seed}:{prompt_id}") for prompt_id, _, _ in batch]
        logprobs = SampledLogprobs()
        responses = decode_batch(
            model,
            [PrefixBatch(CachedPrefix(0, ()), [ids for _, _, ids in batch])],
            is_finished,
            rngs,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            logprobs=logprobs,
        )
        yield [
            SampledCompletion(
                build_completion(chat, prompt_id, prompt, response, is_finished(response), sampling.stop),
                tuple(response),
                logprobs.sums[index],
            )
            for index, ((prompt_id, prompt, _), response) in enumerate(zip(batch, responses, strict=True))
        ]


def build_stop_condition(chat: ChatTokenizer, stop: Sequence[str]) -> StopCondition:
    """Whether the last token ends the turn, or completes a stop text."""
    # a token has at least one byte, so that these tokens contain any stop text that was just completed, and what is before it
    window = WHITE_SPACE_TOKENS + max((len(text.encode()) for text in stop), default=0)

    def is_finished(ids: Sequence[int]) -> bool:
        return ids[-1] in chat.stop_token_ids or (
            bool(stop) and _find_stop(chat.decode(ids[-window:]), stop, at_start=len(ids) <= window) is not None
        )

    return is_finished


def _find_stop(text: str, stop: Sequence[str], *, at_start: bool) -> int | None:
    """Where the first stop text starts, or None. `at_start`: white space before the text was removed, so a stop text at its
    start counts without its own."""
    places = [text.index(each) for each in stop if each in text]
    if at_start and any(text.startswith(each.lstrip()) for each in stop):
        places.append(0)
    return min(places, default=None)


def build_completion(
    chat: ChatTokenizer, prompt_id: str, prompt: Prompt, response: Sequence[int], ended: bool, stop: Sequence[str]
) -> Completion:
    """The text before the first stop text. `n_tokens` counts all sampled tokens."""
    text = chat.decode(response)
    place = _find_stop(text, stop, at_start=True)
    finish_reason: Literal["end", "length"] = "end" if ended else "length"
    return Completion(
        prompt_id=prompt_id,
        prompt=prompt,
        text=text if place is None else text[:place].rstrip(),
        n_tokens=len(response),
        finish_reason=finish_reason,
    )
