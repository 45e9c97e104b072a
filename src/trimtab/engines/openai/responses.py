"""Parses responses of the OpenAI protocol: text, log-probabilities and cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.types import Cost, Generation


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a response: its text, its log-probability in nats, and the most likely tokens at its position."""

    token: str
    logprob: float | None
    top_logprobs: tuple[tuple[str, float], ...]


def parse_cost(body: Mapping[str, Any]) -> Cost:
    """Token counts as the server reports them; zero if it reports none."""
    usage = _as_mapping(body.get("usage"))
    prompt, generated = _as_count(usage.get("prompt_tokens")), _as_count(usage.get("completion_tokens"))
    cached = min(prompt, _as_count(_as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")))
    return Cost(prompt_tokens=prompt - cached, cached_tokens=cached, generated_tokens=generated)


def parse_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; empty if there is none."""
    choices = body.get("choices")
    return _as_mapping(choices[0]) if isinstance(choices, list) and choices else {}


def parse_generation(body: Mapping[str, Any], cost: Cost) -> Generation:
    """The text and why it ended; failed if there is no text or the server withheld it."""
    choice = parse_choice(body)
    message = _as_mapping(choice.get("message"))
    text, finish_reason = message.get("content", choice.get("text")), choice.get("finish_reason")
    if finish_reason == "content_filter":
        note = "the server withheld the response (content_filter)"
        return Generation(text="", status="failed", note=note, cost=cost)
    if not isinstance(text, str):
        has_reasoning = "reasoning_content" in message or "reasoning" in message
        note = (
            "the response has reasoning but no text: allow more tokens or turn reasoning off in extra_body"
            if has_reasoning
            else "the response has no text"
        )
        return Generation(text="", status="failed", note=f"{note} (finish_reason {finish_reason!r})", cost=cost)
    return Generation(text=text, finish_reason="length" if finish_reason == "length" else "end", cost=cost)


def parse_token_logprobs(choice: Mapping[str, Any]) -> list[TokenLogprob]:
    """The tokens with their log-probabilities; empty if the server returns none.

    Supports both layouts: the list `content` of chat responses, which llama.cpp uses everywhere, and the parallel lists of
    `/completions`.
    """
    logprobs = _as_mapping(choice.get("logprobs"))
    if isinstance(logprobs.get("content"), list):
        return [_parse_chat_token(_as_mapping(entry)) for entry in logprobs["content"]]
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        return []
    tops = logprobs.get("top_logprobs")
    tops = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    return [
        _build_token_logprob(str(token), _as_logprob(value), tuple(_as_mapping(top).items()))
        for token, value, top in zip(tokens, values, tops, strict=True)
    ]


def _parse_chat_token(entry: Mapping[str, Any]) -> TokenLogprob:
    top = entry.get("top_logprobs")
    top_entries = [_as_mapping(top_entry) for top_entry in top] if isinstance(top, list) else []
    pairs = tuple((top_entry.get("token"), top_entry.get("logprob")) for top_entry in top_entries)
    return _build_token_logprob(str(entry.get("token", "")), _as_logprob(entry.get("logprob")), pairs)


def _build_token_logprob(token: str, logprob: float | None, pairs: tuple[tuple[Any, Any], ...]) -> TokenLogprob:
    """Includes the token itself among the most likely tokens, even if the server does not."""
    top = [(text, value) for text, raw in pairs if isinstance(text, str) and (value := _as_logprob(raw)) is not None]
    if logprob is not None and token not in [text for text, _ in top]:
        top.append((token, logprob))
    return TokenLogprob(token, logprob, tuple(top))


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _as_logprob(value: object) -> float | None:
    """A log-probability, which rounding may raise slightly above 0; None for NaN and anything that is not a number."""
    return float(value) if isinstance(value, int | float) and value < 1 else None
