"""Cells to turns: texts, lists of messages, and `Human:`/`Assistant:` transcripts. No reason repeats a row's text."""

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
    """A row cannot become a pair; the message is the failure's reason."""


def describe_value(value: Any) -> str:
    """A value for a reason: numbers and a few known words as they are, anything else by its type and size."""
    if isinstance(value, str):
        namable = value.lower() in _SHOWN_WORDS or (len(value) <= 3 and value.isdigit())
        return repr(value) if namable else f"a text of {len(value)} characters"
    if value is None or isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | dict) else "")


def parse_text(value: Any, place: str) -> str:
    """The cell as it stands, if it is text that says something."""
    if not isinstance(value, str):
        raise UnusableRowError(f"{place} is {describe_value(value)}, text is needed")
    if not value.strip():
        raise UnusableRowError(f"{place} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnusableRowError(f"{place} is not valid UTF-8 text") from None
    if _STRINGIFIED_MESSAGES.match(value):
        raise UnusableRowError(
            f"{place} is a list of messages written as text; write it as a list, in jsonl or parquet"
        )
    return value


def parse_messages(value: Sequence[Any], place: str) -> Prompt:
    """A list of {role, content} ({from, value}, {role, text}). A system turn without text says nothing and is left out."""
    turns: list[Message] = []
    for number, item in enumerate(value, start=1):
        here = f"{place}, turn {number}"
        if not isinstance(item, dict):
            raise UnusableRowError(f"{here} is {describe_value(item)}, an object with role and content is needed")
        name = item.get("role", item.get("from"))
        content = item.get("content", item.get("value", item.get("text")))
        role = ROLE_ALIASES.get(name.lower()) if isinstance(name, str) else None
        if role is None:
            raise UnusableRowError(f"{here} has the role {describe_value(name)}; known are {', '.join(ROLE_ALIASES)}")
        if role == "system" and (content is None or content == ""):
            continue
        turns.append(Message(role=role, content=parse_text(content, f"the content of {here}")))
    return tuple(turns)


def parse_transcript(value: str, place: str) -> Prompt:
    """The turns of a transcript. Raises `UnusableError` where it does not open with `Human:` or a turn is empty."""
    if not is_transcript(value):
        raise UnusableRowError(f"{place} does not open with 'Human:'")
    _, *parts = _TURN_HEADING.split(value.lstrip())
    return tuple(
        Message(role=ROLE_ALIASES[speaker.lower()], content=parse_text(content, f"{place}, turn {number}").strip())
        for number, (speaker, content) in enumerate(zip(parts[::2], parts[1::2], strict=True), start=1)
    )


def is_transcript(value: Any) -> bool:
    return isinstance(value, str) and _TRANSCRIPT_START.match(value) is not None


def parse_prompt(value: Any, place: str = "'prompt'") -> Prompt:
    """A prompt from text, messages, or a transcript that ends with an open `Assistant:`."""
    if isinstance(value, list):
        return validate_turns(parse_messages(value, place))
    words = parse_text(value, place)
    if is_open_transcript(words):
        return validate_turns(parse_transcript(_OPEN_ASSISTANT_TURN.sub("", words), place))
    return build_user_prompt(words)


def is_open_transcript(value: Any) -> bool:
    return is_transcript(value) and _OPEN_ASSISTANT_TURN.search(value) is not None


def validate_turns(turns: Prompt, place: str = "'prompt'") -> Prompt:
    """The turns, if they are what chat templates take: an optional system turn, then user and assistant in turn."""
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    if not spoken:
        raise UnusableRowError(f"{place} is empty: it holds no user turn")
    if any(turn.role == "system" for turn in spoken):
        raise UnusableRowError(f"{place} has a system turn that is not the first")
    if spoken[0].role != "user" or any(one.role == other.role for one, other in pairwise(spoken)):
        raise UnusableRowError(f"{place} does not alternate between user and assistant, the user first")
    if spoken[-1].role != "user":
        raise UnusableRowError(f"{place} ends with a turn of the assistant; the last turn must be the user's")
    return turns


def parse_response(value: Any, place: str, prompt: Prompt) -> str:
    """A response from text or messages: one assistant turn, which the prompt's own turns may precede."""
    if isinstance(value, dict) and {"role", "from"} & value.keys():
        value = [value]
    if not isinstance(value, list):
        return parse_text(value, place)
    turns = parse_messages(value, place)
    if turns[: len(prompt)] == prompt:
        turns = turns[len(prompt) :]
    if len(turns) != 1 or turns[0].role != "assistant":
        roles = ", ".join(turn.role for turn in turns[:6]) or "nothing"
        raise UnusableRowError(f"{place} has {roles} after the prompt; one assistant turn is needed")
    return turns[0].content
