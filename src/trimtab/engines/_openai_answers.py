"""What an answer in OpenAI's protocol holds: the text, the log-probabilities, the cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.types import Cost, Reply


@dataclass(frozen=True, slots=True)
class Position:
    """One token as the server tells of it: its text, its log-probability in nats, and the likeliest in its place."""

    token: str
    logprob: float | None
    top: tuple[tuple[str, float], ...]


def cost_of(body: Mapping[str, Any]) -> Cost:
    """Tokens by the server's own count; zero where it gives none."""
    usage = _mapping(body.get("usage"))
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    reused = min(read, _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")))
    return Cost(prompt_tokens=read - reused, reused_tokens=reused, generated_tokens=written)


def choice_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; empty where there is none."""
    choices = body.get("choices")
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def reply_of(body: Mapping[str, Any], cost: Cost) -> Reply:
    """The text and what ended it; failed where there is no text, or where the server held it back."""
    choice = choice_of(body)
    message = _mapping(choice.get("message"))
    text, ended = message.get("content", choice.get("text")), choice.get("finish_reason")
    if ended == "content_filter":
        return Reply(text="", status="failed", note="the server held the answer back (content_filter)", cost=cost)
    if not isinstance(text, str):
        thought = "reasoning_content" in message or "reasoning" in message
        why = "only reasoning came, no text: allow more tokens or turn reasoning off in extra" if thought else "no text"
        return Reply(text="", status="failed", note=f"{why} in the answer (finish_reason {ended!r})", cost=cost)
    return Reply(text=text, stop="length" if ended == "length" else "end", cost=cost)


def positions_of(choice: Mapping[str, Any]) -> list[Position]:
    """The tokens with their log-probabilities; empty where the server gives none.

    Both shapes are read: the list `content` of chats, which llama.cpp uses everywhere, and the parallel lists of
    `/completions`.
    """
    told = _mapping(choice.get("logprobs"))
    if isinstance(told.get("content"), list):
        return [_position(_mapping(each)) for each in told["content"]]
    tokens, logprobs = told.get("tokens"), told.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs):
        return []
    tops = told.get("top_logprobs")
    tops = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    return [
        _merged(str(token), _number(logprob), tuple(_mapping(top).items()))
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    ]


def _position(each: Mapping[str, Any]) -> Position:
    listed = each.get("top_logprobs")
    entries = [_mapping(entry) for entry in listed] if isinstance(listed, list) else []
    pairs = tuple((entry.get("token"), entry.get("logprob")) for entry in entries)
    return _merged(str(each.get("token", "")), _number(each.get("logprob")), pairs)


def _merged(token: str, logprob: float | None, pairs: tuple[tuple[Any, Any], ...]) -> Position:
    """The token that came stands among the likeliest, whether or not the server counts it there."""
    top = [(text, value) for text, given in pairs if isinstance(text, str) and (value := _number(given)) is not None]
    if logprob is not None and token not in [text for text, _ in top]:
        top.append((token, logprob))
    return Position(token, logprob, tuple(top))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _number(value: object) -> float | None:
    """A log-probability: rounding may lift it a little above 0; what is not a number is none."""
    return float(value) if isinstance(value, int | float) and value < 1 else None
