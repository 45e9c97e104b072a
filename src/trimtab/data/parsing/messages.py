"""Parses text, message lists and `Human:`/`Assistant:` transcripts into turns. No error repeats a row's text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from trimtab.types import Message, Prompt, Role, build_user_prompt

ROLE_ALIASES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
}
_SHOWN_WORDS = ("tool", "function", "developer", "model", "tie", "both", "both_bad", "neither", "draw", "none")
_TURN_HEADING = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_TRANSCRIPT_START = re.compile(r"\s*Human:")
_OPEN_ASSISTANT_TURN = re.compile(r"\n\nAssistant:\s*$")
_STRINGIFIED_MESSAGES = re.compile(r"\s*\[\s*\{\s*['\"](role|content|from|value)['\"]\s*:")


class UnusableRowError(ValueError):
    """A row cannot become a pair. The message is the reason of the failure."""


def describe_value(value: Any) -> str:
    """Describes a value in an error: numbers and a few known words verbatim, anything else by type and size."""
    if isinstance(value, str):
        is_shown = value.lower() in _SHOWN_WORDS or (len(value) <= 3 and value.isdigit())
        return repr(value) if is_shown else f"a text of {len(value)} characters"
    if value is None or isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | dict) else "")


def parse_text(value: Any, location: str) -> str:
    """The cell unchanged. Raises `UnusableRowError` unless it is non-empty text."""
    if not isinstance(value, str):
        raise UnusableRowError(f"{location} is {describe_value(value)}, expected text")
    if not value.strip():
        raise UnusableRowError(f"{location} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnusableRowError(f"{location} is not valid UTF-8 text") from None
    if _STRINGIFIED_MESSAGES.match(value):
        raise UnusableRowError(
            f"{location} is a list of messages serialized as text; use a real list, in jsonl or parquet"
        )
    return value


def parse_messages(value: Sequence[Any], location: str) -> Prompt:
    """Parses a list of {role, content} ({from, value}, {role, text}). Skips an empty system turn."""
    turns: list[Message] = []
    for number, item in enumerate(value, start=1):
        turn_location = f"{location}, turn {number}"
        if not isinstance(item, dict):
            raise UnusableRowError(
                f"{turn_location} is {describe_value(item)}, expected an object with role and content"
            )
        name = item.get("role", item.get("from"))
        content = item.get("content", item.get("value", item.get("text")))
        role = ROLE_ALIASES.get(name.lower()) if isinstance(name, str) else None
        if role is None:
            raise UnusableRowError(
                f"{turn_location} has the role {describe_value(name)}; expected one of {', '.join(ROLE_ALIASES)}"
            )
        if role == "system" and (content is None or content == ""):
            continue
        turns.append(Message(role=role, content=parse_text(content, f"the content of {turn_location}")))
    return tuple(turns)


def parse_transcript(value: str, location: str) -> Prompt:
    """The turns of a transcript. Raises `UnusableRowError` if it does not start with `Human:` or a turn is empty."""
    if not is_transcript(value):
        raise UnusableRowError(f"{location} does not start with 'Human:'")
    _, *parts = _TURN_HEADING.split(value.lstrip())
    return tuple(
        Message(role=ROLE_ALIASES[speaker.lower()], content=parse_text(content, f"{location}, turn {number}").strip())
        for number, (speaker, content) in enumerate(zip(parts[::2], parts[1::2], strict=True), start=1)
    )


def is_transcript(value: Any) -> bool:
    return isinstance(value, str) and _TRANSCRIPT_START.match(value) is not None


def parse_prompt(value: Any, location: str = "'prompt'") -> Prompt:
    """Parses a prompt from text, messages, or a transcript that ends with an open `Assistant:`."""
    if isinstance(value, list):
        return validate_turns(parse_messages(value, location))
    text = parse_text(value, location)
    if is_open_transcript(text):
        return validate_turns(parse_transcript(_OPEN_ASSISTANT_TURN.sub("", text), location))
    return build_user_prompt(text)


def is_open_transcript(value: Any) -> bool:
    return is_transcript(value) and _OPEN_ASSISTANT_TURN.search(value) is not None


def validate_turns(turns: Prompt, location: str = "'prompt'") -> Prompt:
    """The turns unchanged. Raises `UnusableRowError` unless chat templates accept them.

    They accept an optional system turn, then alternating user and assistant turns that end with the user.
    """
    dialog = turns[1:] if turns and turns[0].role == "system" else turns
    if not dialog:
        raise UnusableRowError(f"{location} is empty: it has no user turn")
    if any(turn.role == "system" for turn in dialog):
        raise UnusableRowError(f"{location} has a system turn that is not the first")
    if dialog[0].role != "user" or any(one.role == other.role for one, other in pairwise(dialog)):
        raise UnusableRowError(f"{location} does not alternate between user and assistant, starting with the user")
    if dialog[-1].role != "user":
        raise UnusableRowError(f"{location} ends with an assistant turn; the last turn must be the user's")
    return turns


def parse_response(value: Any, location: str, prompt: Prompt) -> str:
    """Parses a response from text or messages: one assistant turn, optionally after the turns of the prompt."""
    if isinstance(value, dict) and {"role", "from"} & value.keys():
        value = [value]
    if not isinstance(value, list):
        return parse_text(value, location)
    turns = parse_messages(value, location)
    if turns[: len(prompt)] == prompt:
        turns = turns[len(prompt) :]
    if len(turns) != 1 or turns[0].role != "assistant":
        roles = ", ".join(turn.role for turn in turns[:6]) or "nothing"
        raise UnusableRowError(f"{location} has {roles} after the prompt; expected one assistant turn")
    return turns[0].content
