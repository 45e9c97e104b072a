"""Parses responses of the OpenAI protocol: text, log-probabilities and cost. Pure."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from trimtab.engines.openai.response_body import format_error_message
from trimtab.prompts.reasoning_tags import separate_thought
from trimtab.types import Cost, Generation

# What servers call the end of a reply and its length limit. Any other finish_reason is a failure.
FINISHED = frozenset({"stop", "stop_sequence", "eos", "eos_token", "end_turn", "complete"})
TRUNCATED = frozenset({"length", "max_tokens", "model_length"})
# Largest believable token count of one response, and lowest log-probability above minus infinity.
MAX_TOKENS = 10**9
MIN_LOGPROB = -1e6
MAX_NOTE = 300


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


def parse_reported_prompt_tokens(body: Mapping[str, Any]) -> int:
    """The prompt's length in tokens as the server reports it; zero if it reports none.

    Servers that do not count cached tokens as part of the prompt report at least half of its length this way.
    """
    usage = _as_mapping(body.get("usage"))
    cached = _as_count(_as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return max(_as_count(usage.get("prompt_tokens")), cached)


def parse_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; empty if there is none."""
    choices = body.get("choices")
    return _as_mapping(choices[0]) if isinstance(choices, list) and choices else {}


def describe_problem(body: Mapping[str, Any]) -> str:
    """Why the response must not be used: an unsuccessful end, or values that are not valid numbers. Empty if it may be used."""
    choice = parse_choice(body)
    usage = _as_mapping(body.get("usage"))
    wrong = [name for name, value in usage.items() if _is_number(value) and not abs(value) <= MAX_TOKENS]
    if wrong:
        return f"the response has an impossible usage.{wrong[0][:40]}: {reprlib.repr(usage[wrong[0]])}"
    try:
        parse_token_logprobs(choice)
    except ValueError as error:
        return f"the response has {error}"
    return _describe_end(choice)


def _describe_end(choice: Mapping[str, Any]) -> str:
    """Why generation did not end as requested, or an empty string. Without a finish_reason, a reply with text is complete."""
    reason, error = choice.get("finish_reason"), choice.get("error")
    if reason is None or (isinstance(reason, str) and reason.lower() in FINISHED | TRUNCATED):
        return f"the response is an error: {format_error_message(error)}" if error else ""
    if reason == "content_filter":
        return "the server withheld the response (content_filter)"
    note = f"the server did not finish the response (finish_reason {reprlib.repr(reason)})"
    return f"{note}: {format_error_message(error)}" if error else note


def starts_with_reasoning(body: Mapping[str, Any]) -> bool:
    """Whether the first token of the reply belongs to the model's reasoning."""
    choice = parse_choice(body)
    return bool(_reasoning_of(choice)) or separate_thought(_text_of(choice) or "").has_thought


def parse_generation(body: Mapping[str, Any], cost: Cost, max_tokens_field: str = "max_tokens") -> Generation:
    """The text without the model's reasoning, and why it ended; failed if there is no text."""
    choice = parse_choice(body)
    text, reasoning, reason = _text_of(choice), _reasoning_of(choice), choice.get("finish_reason")
    reply = separate_thought(text or "")
    if not reply.answer.strip() and (reasoning or reply.has_thought):
        note = (
            "the response has reasoning but no text: turn the model's reasoning off, for example with extra_body: "
            "{chat_template_kwargs: {enable_thinking: false}} or {reasoning_effort: none}, or give it room with "
            f"extra_body: {{{max_tokens_field}: 4096}}"
        )
    elif text is None:
        refusal = _as_mapping(choice.get("message")).get("refusal")
        note = (
            f"the model refused: {format_error_message(refusal)[:MAX_NOTE]}" if refusal else "the response has no text"
        )
    elif not text and reason is None:
        note = "the response has no text"
    else:
        truncated = isinstance(reason, str) and reason.lower() in TRUNCATED
        return Generation(text=reply.answer, finish_reason="length" if truncated else "end", cost=cost)
    return Generation(text="", status="failed", note=f"{note} (finish_reason {reprlib.repr(reason)})", cost=cost)


def _text_of(choice: Mapping[str, Any]) -> str | None:
    content = _as_mapping(choice.get("message")).get("content", choice.get("text"))
    if isinstance(content, list):  # parts of several kinds; those of a thought are not text
        parts = [_as_mapping(part) for part in content]
        content = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
    return content if isinstance(content, str) else None


def _reasoning_of(choice: Mapping[str, Any]) -> object:
    """The reasoning that the server has separated from the text; empty if there is none."""
    message = _as_mapping(choice.get("message"))
    content = message.get("content")
    parts = [_as_mapping(part).get("thinking") for part in content] if isinstance(content, list) else []
    return message.get("reasoning_content") or message.get("reasoning") or any(parts)


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


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_count(value: object) -> int:
    return int(value) if _is_number(value) and 0 < value <= MAX_TOKENS else 0


def _as_logprob(value: object) -> float | None:
    """A log-probability, which rounding may raise slightly above 0; None if there is none. Raises `ValueError`."""
    if not _is_number(value):
        return None
    if not (value == -math.inf or MIN_LOGPROB <= value < 1):
        raise ValueError(f"invalid log-probability: {reprlib.repr(value)}")
    return float(value)
