"""Parses text, message lists and `Human:`/`Assistant:` transcripts into turns. No error repeats a row's text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from trimtab.data.parsing.rows import UnreadableValue, is_empty
from trimtab.types import Message, Prompt, Role, build_user_prompt

ROLE_ALIASES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
}
# The turns of one exchange.
EXCHANGE: tuple[Role, Role] = ("user", "assistant")
# What a byte that is not UTF-8 becomes when a file is read.
_UNDECODED_BYTE = re.compile("[\udc80-\udcff]")
MAX_SHOWN_NUMBER = 24
_SHOWN_PARTS = ("image", "image_url", "audio", "input_audio", "video", "file", "tool_use", "tool_result", "thinking")
_SHOWN_WORDS = ("tool", "function", "developer", "model", "tie", "both", "both_bad", "neither", "draw", "none")
_TURN_HEADING = re.compile(r"(?:^|\r?\n\r?\n)(Human|Assistant):")
_TRANSCRIPT_START = re.compile(r"\s*Human:")
_OPEN_ASSISTANT_TURN = re.compile(r"\r?\n\r?\nAssistant:\s*$")
# Between the turns of a HelpSteer prompt, whose first turn is the user's.
_STEERLM_HEADING = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
_STRINGIFIED_MESSAGES = re.compile(r"\s*\[\s*\{\s*['\"](role|content|from|value)['\"]\s*:")
# Parts of a turn that are not its text. A turn that has one fails: cutting it to its text would change what it says.
_OTHER_PARTS = (
    *("tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking", "refusal"),
    *("image", "images", "image_url", "audio", "audios", "video", "videos"),
)
# Turns written out in the marks of a chat template, which would get a second template around them.
_TEMPLATE_MARKS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>(?:user|model)|<\|(?:user|assistant|system)\|>|<<SYS>>"
    r"|<\uff5c(?:User|Assistant)\uff5c>|(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>)\s*\Z"
)
_INSTRUCTION_START = re.compile(r"\s*(?:<s>\s*)?\[INST\]")


class UnusableRowError(ValueError):
    """A row cannot become a pair. The message is the reason of the failure."""


def describe_value(value: Any) -> str:
    """Describes a value in an error: numbers and a few known words verbatim, anything else by type and size."""
    if isinstance(value, str):
        is_shown = value.lower() in _SHOWN_WORDS or (len(value) <= 3 and value.isdigit())
        return repr(value) if is_shown else f"a text of {len(value)} characters"
    if isinstance(value, UnreadableValue):
        return "a value that cannot be read"
    if value is None or isinstance(value, int | float):
        shown = repr(value)
        return shown if len(shown) <= MAX_SHOWN_NUMBER else "a very large number"
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
        remedy = "; save the file as UTF-8" if _UNDECODED_BYTE.search(value) else ""
        raise UnusableRowError(f"{location} is not valid UTF-8 text{remedy}") from None
    if _STRINGIFIED_MESSAGES.match(value):
        raise UnusableRowError(
            f"{location} is a list of messages serialized as text; use a real list, in jsonl or parquet"
        )
    marks = _INSTRUCTION_START.match(value) or ("<" in value and _TEMPLATE_MARKS.search(value))
    if marks:
        raise UnusableRowError(
            f"{location} contains {marks.group().strip()}, a mark of a chat template; use plain text or messages"
        )
    return value


def is_message_list(value: Any) -> bool:
    """Whether a cell holds messages: a list, or an object of equally long lists, as some libraries store a list."""
    if not _is_message(value):
        return isinstance(value, list)
    items = [item for item in value.values() if item is not None]
    return bool(items) and all(isinstance(item, list) for item in items)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and bool({"role", "from"} & value.keys())


def _list_messages(value: Any, location: str) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = {key: item for key, item in value.items() if item is not None}
    if len({len(item) for item in lists.values()}) != 1:
        raise UnusableRowError(f"{location} is an object of lists of different lengths, expected messages")
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def _parse_content(message: dict[str, Any], location: str) -> Any:
    """The content of a turn, with its text parts joined. Raises `UnusableRowError` if it has parts that are not text."""
    other = next((name for name in _OTHER_PARTS if not is_empty(message.get(name))), None)
    if other is not None:
        raise UnusableRowError(f"{location} has {other!r}, which is not read; expected turns of text only")
    content = _first_value(message, "content", "value", "text")
    if not isinstance(content, list):
        return content
    texts = [_parse_part(part, location) for part in content]
    return "".join(texts)


def _parse_part(part: Any, location: str) -> str:
    text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
    part_type = (part.get("type") or "text") if isinstance(part, dict) else "text"
    if not isinstance(text, str) or part_type != "text":
        shown = part_type if part_type in _SHOWN_PARTS else "other"
        raise UnusableRowError(
            f"{location} has a part of the type {shown!r}, which Trimtab does not read; expected text parts only"
        )
    return text


def _first_value(message: dict[str, Any], *names: str) -> Any:
    """The first of the values that is not null: a null key counts as absent."""
    return next((message[name] for name in names if message.get(name) is not None), None)


def parse_messages(value: Any, location: str) -> Prompt:
    """Parses a list of {role, content} ({from, value}, {role, text}), or an object of lists. Skips an empty system turn."""
    turns: list[Message] = []
    for number, item in enumerate(_list_messages(value, location), start=1):
        turn_location = f"{location}, turn {number}"
        if not isinstance(item, dict):
            raise UnusableRowError(
                f"{turn_location} is {describe_value(item)}, expected an object with role and content"
            )
        name = _first_value(item, "role", "from")
        content = _parse_content(item, turn_location)
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
    return validate_turns(parse_turns(value, location), location)


def parse_turns(value: Any, location: str) -> Prompt:
    """Parses the turns of a prompt without checking their order."""
    if is_message_list(value):
        return parse_messages(value, location)
    text = parse_text(value, location)
    if is_open_transcript(text):
        return parse_transcript(_OPEN_ASSISTANT_TURN.sub("", text), location)
    if "<extra_id_1>" in text and _STEERLM_HEADING.search(text):
        parts = _STEERLM_HEADING.split(text)
        speakers = ("User", *parts[1::2])
        return tuple(
            Message(role=ROLE_ALIASES[speaker.lower()], content=parse_text(content, f"{location}, turn {number}"))
            for number, (speaker, content) in enumerate(zip(speakers, parts[::2], strict=True), start=1)
        )
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
    if _is_message(value) and not is_message_list(value):
        value = [value]
    if not is_message_list(value):
        return parse_text(value, location)
    turns = parse_messages(value, location)
    if turns[: len(prompt)] == prompt:
        turns = turns[len(prompt) :]
    if len(turns) != 1 or turns[0].role != "assistant":
        roles = ", ".join(turn.role for turn in turns[:6]) or "nothing"
        raise UnusableRowError(f"{location} has {roles} after the prompt; expected one assistant turn")
    return turns[0].content
