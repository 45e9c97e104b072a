"""What an answer in OpenAI's protocol holds: the text, the log-probabilities, the cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.types import Cost, Generation


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token as the server tells of it: its text, its log-probability in nats, and the likeliest in its place."""

    token: str
    logprob: float | None
    top_logprobs: tuple[tuple[str, float], ...]


def parse_cost(body: Mapping[str, Any]) -> Cost:
    """Tokens by the server's own count; zero where it gives none."""
    usage = _as_mapping(body.get("usage"))
    read, written = _as_count(usage.get("prompt_tokens")), _as_count(usage.get("completion_tokens"))
    reused = min(read, _as_count(_as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")))
    return Cost(prompt_tokens=read - reused, cached_tokens=reused, generated_tokens=written)


def parse_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; empty where there is none."""
    choices = body.get("choices")
    return _as_mapping(choices[0]) if isinstance(choices, list) and choices else {}


def parse_generation(body: Mapping[str, Any], cost: Cost) -> Generation:
    """The text and what ended it; failed where there is no text, or where the server held it back."""
    choice = parse_choice(body)
    message = _as_mapping(choice.get("message"))
    text, ended = message.get("content", choice.get("text")), choice.get("finish_reason")
    if ended == "content_filter":
        return Generation(text="", status="failed", note="the server held the answer back (content_filter)", cost=cost)
    if not isinstance(text, str):
        thought = "reasoning_content" in message or "reasoning" in message
        why = "only reasoning came, no text: allow more tokens or turn reasoning off in extra" if thought else "no text"
        return Generation(text="", status="failed", note=f"{why} in the answer (finish_reason {ended!r})", cost=cost)
    return Generation(text=text, finish_reason="length" if ended == "length" else "end", cost=cost)


def parse_token_logprobs(choice: Mapping[str, Any]) -> list[TokenLogprob]:
    """The tokens with their log-probabilities; empty where the server gives none.

    Both shapes are read: the list `content` of chats, which llama.cpp uses everywhere, and the parallel lists of
    `/completions`.
    """
    told = _as_mapping(choice.get("logprobs"))
    if isinstance(told.get("content"), list):
        return [_parse_chat_token(_as_mapping(each)) for each in told["content"]]
    tokens, logprobs = told.get("tokens"), told.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs):
        return []
    tops = told.get("top_logprobs")
    tops = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    return [
        _build_token_logprob(str(token), _as_logprob(logprob), tuple(_as_mapping(top).items()))
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    ]


def _parse_chat_token(each: Mapping[str, Any]) -> TokenLogprob:
    listed = each.get("top_logprobs")
    entries = [_as_mapping(entry) for entry in listed] if isinstance(listed, list) else []
    pairs = tuple((entry.get("token"), entry.get("logprob")) for entry in entries)
    return _build_token_logprob(str(each.get("token", "")), _as_logprob(each.get("logprob")), pairs)


def _build_token_logprob(token: str, logprob: float | None, pairs: tuple[tuple[Any, Any], ...]) -> TokenLogprob:
    """The token that came stands among the likeliest, whether or not the server counts it there."""
    top = [
        (text, value) for text, given in pairs if isinstance(text, str) and (value := _as_logprob(given)) is not None
    ]
    if logprob is not None and token not in [text for text, _ in top]:
        top.append((token, logprob))
    return TokenLogprob(token, logprob, tuple(top))


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _as_logprob(value: object) -> float | None:
    """A log-probability: rounding may lift it a little above 0; what is not a number is none."""
    return float(value) if isinstance(value, int | float) and value < 1 else None
