"""Tokenizes engine requests and candidates, the same way for every engine with the model's own tokenizer. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.models.chat import ChatTokenizer
from trimtab.prompts.reasoning_tags import separate_thought
from trimtab.types import Cost, EngineRequest, Generation


def encode_request(chat: ChatTokenizer, request: EngineRequest) -> list[int]:
    """The token ids of the conversation and the prefill."""
    return chat.encode_prompt(request.prompt) + chat.encode_text(request.prefill)


def encode_candidates(
    chat: ChatTokenizer, request: EngineRequest, candidates: Sequence[str]
) -> tuple[list[int], list[list[int]]]:
    """Splits the tokens into the prefix that all candidates share and the rest of each, which has at least one token.

    Each candidate is tokenized together with the text before it, as the model would generate it.
    """
    prompt = chat.encode_prompt(request.prompt)
    sequences = [prompt + chat.encode_text(request.prefill + candidate) for candidate in candidates]
    longest_prefix = min(map(len, sequences)) - 1
    differing = (index for index in range(longest_prefix) if len({ids[index] for ids in sequences}) > 1)
    # A single candidate is scored in full: nothing shows which of its tokens would be shared.
    split = next(differing, longest_prefix) if len(sequences) > 1 else len(encode_request(chat, request))
    return sequences[0][:split], [ids[split:] for ids in sequences]


def select_scored_tokens(
    suffixes: Sequence[list[int]], end_ids: Sequence[int], *, first_token_only: bool
) -> list[list[int]]:
    """The tokens to score of each candidate: its first differing token, or all of them followed by `end_ids`."""
    return [suffix[:1] if first_token_only else [*suffix, *end_ids] for suffix in suffixes]


def decode_generation(
    chat: ChatTokenizer, ids: Sequence[int], stop: Sequence[str], cost: Cost, *, finished: bool = False
) -> Generation:
    """The text up to the first stop text, without a thought. `finished`: a stop text or the end of the turn ended it."""
    text = chat.decode(ids)
    stop_positions = [text.index(stop_text) for stop_text in stop if stop_text in text]
    finished = finished or bool(stop_positions) or (bool(ids) and ids[-1] in chat.stop_token_ids)
    reply = separate_thought(text[: min(stop_positions)].rstrip() if stop_positions else text)
    if reply.is_unfinished:
        note = f"the model's reasoning did not end within {len(ids)} tokens: allow more, or use a model that does not reason"
        return Generation(text="", status="failed", note=note, cost=cost)
    generation = Generation(
        text=reply.answer,
        finish_reason="end" if finished else "length",
        cost=cost,
    )
    return generation if generation.text or finished else replace(generation, note="the model generated no text")


def softmax(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Probabilities over the candidates, from their log-probabilities in nats."""
    largest = max(logprobs)
    unnormalized = [math.exp(logprob - largest) for logprob in logprobs]
    return tuple(value / sum(unnormalized) for value in unnormalized)


@dataclass(frozen=True, slots=True)
class ScoringStep:
    """One position within the candidates: the `prefix` before it, and the `tokens` that candidates have there."""

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]


def build_scoring_steps(suffixes: Sequence[Sequence[int]], max_tokens: int) -> list[ScoringStep]:
    """Every distinct position within the candidates once, with at most `max_tokens` tokens per step."""
    tokens_by_prefix: dict[tuple[int, ...], dict[int, None]] = {}
    for ids in suffixes:
        for index, token in enumerate(ids):
            tokens_by_prefix.setdefault(tuple(ids[:index]), {})[token] = None
    return [
        ScoringStep(prefix, tuple(tokens)[start : start + max_tokens])
        for prefix, tokens in tokens_by_prefix.items()
        for start in range(0, len(tokens), max_tokens)
    ]


def format_too_long(prompt_tokens: int, extra_tokens: int, max_length: int) -> str:
    """The note of a request that does not fit into the model's context length."""
    return (
        f"the prompt has {prompt_tokens} tokens and needs up to {extra_tokens} more for the response, but the model's "
        f"maximum length is {max_length}"
    )
