"""Parses text, message lists and `Human:`/`Assistant:` transcripts into turns. No error repeats a row's text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from trimtab.core.tool_calls import ToolCall, append_tool_calls, split_tool_calls
from trimtab.data.parsing.rows import is_empty, is_missing
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text, refuse_open_answer
from trimtab.data.parsing.tool_messages import parse_tool_calls, parse_tools
from trimtab.types import Message, Prompt, Role, build_user_prompt

ROLE_ALIASES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "tool": "tool",
}
# The turns of one exchange.
EXCHANGE: tuple[Role, Role] = ("user", "assistant")
_SHOWN_PARTS = ("image", "image_url", "audio", "input_audio", "video", "file", "tool_use", "tool_result", "thinking")
_TURN_HEADING = re.compile(r"(?:^|\r?\n\r?\n)(Human|Assistant):")
_TRANSCRIPT_START = re.compile(r"\s*Human:")
_OPEN_ASSISTANT_TURN = re.compile(r"\r?\n\r?\nAssistant:\s*$")
# Between the turns of a HelpSteer prompt, whose first turn is the user's.
_STEERLM_HEADING = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
# Parts of a turn that are not its text. A turn that has one fails: cutting it to its text would change what it says.
_OTHER_PARTS = (
    *("tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking", "refusal"),
    *("image", "images", "image_url", "audio", "audios", "video", "videos"),
)
# Those that are read, by role.
_READ_PARTS: dict[Role, tuple[str, ...]] = {"assistant": ("tool_calls",), "tool": ("tool_call_id",)}
# The roles that may follow a turn.
_NEXT_ROLES: dict[Role, tuple[Role, ...]] = {
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}


def is_message_list(value: Any) -> bool:
    """Whether a cell holds messages: a list, or an object of equally long lists, as some libraries store a list."""
    if not isinstance(value, dict):
        return isinstance(value, list)
    if not _is_message(value):
        return False
    items = [item for item in value.values() if not is_missing(item)]
    return bool(items) and all(isinstance(item, list) for item in items)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and bool({"role", "from"} & value.keys())


def _list_messages(value: Any, location: str) -> list[Any]:
    if isinstance(value, list):
        return value
    lists = {key: item for key, item in value.items() if not is_missing(item)}
    if len({len(item) for item in lists.values()}) != 1:
        raise UnusableRowError(f"{location} is an object of lists of different lengths, expected messages")
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def _parse_content(message: dict[str, Any], role: Role, location: str) -> Any:
    """The content of a turn, with its text parts joined. Raises `UnusableRowError` if it has parts that are not read."""
    read = _READ_PARTS.get(role, ())
    other = next((name for name in _OTHER_PARTS if name not in read and not is_empty(message.get(name))), None)
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
    """The first of the values that is not missing: a null key counts as absent."""
    return next((message[name] for name in names if not is_missing(message.get(name))), None)


def parse_messages(value: Any, location: str) -> Prompt:
    """Parses a list of {role, content} ({from, value}, {role, text}), or an object of lists. Skips an empty system turn."""
    turns: list[Message] = []
    unanswered: list[ToolCall] = []
    for number, item in enumerate(_list_messages(value, location), start=1):
        turn_location = f"{location}, turn {number}"
        if not isinstance(item, dict):
            raise UnusableRowError(
                f"{turn_location} is {describe_value(item)}, expected an object with role and content"
            )
        role = _parse_role(item, turn_location)
        content = _parse_content(item, role, turn_location)
        if role == "system" and (content is None or content == ""):
            continue
        if role == "tool":
            _require_answer(item, unanswered, turn_location)
        else:
            unanswered = []
        if role == "assistant" and not is_empty(item.get("tool_calls")):
            unanswered = list(parse_tool_calls(item["tool_calls"], turn_location))
            content = append_tool_calls("" if content is None else content, unanswered)
        turns.append(Message(role=role, content=parse_text(content, f"the content of {turn_location}")))
    return tuple(turns)


def _parse_role(item: dict[str, Any], location: str) -> Role:
    name = _first_value(item, "role", "from")
    role = ROLE_ALIASES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        raise UnusableRowError(
            f"{location} has the role {describe_value(name)}; expected one of {', '.join(ROLE_ALIASES)}"
        )
    return role


def _require_answer(item: dict[str, Any], unanswered: list[ToolCall], location: str) -> None:
    """Removes the call that a `tool` turn answers, the first of those left. Raises `UnusableRowError` if it names another."""
    call = unanswered.pop(0) if unanswered else ToolCall(name="", arguments="{}")
    for key, expected in (("tool_call_id", call.id), ("name", call.name)):
        if not is_empty(item.get(key)) and item[key] != expected:
            raise UnusableRowError(
                f"{location} is the result of another tool call than the next one; expected one result per call, in the order "
                "of the calls"
            )


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
    """Parses the turns of a prompt without checking their order. A prompt may be the body of a request: messages and tools."""
    if isinstance(value, dict) and is_message_list(value.get("messages")):
        tools = value.get("tools")
        return (
            *([] if is_empty(tools) else [parse_tools(tools, location)]),
            *parse_messages(value["messages"], location),
        )
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
    refuse_open_answer(text, location)
    return build_user_prompt(text)


def is_open_transcript(value: Any) -> bool:
    return is_transcript(value) and _OPEN_ASSISTANT_TURN.search(value) is not None


def validate_turns(turns: Prompt, location: str = "'prompt'") -> Prompt:
    """The turns unchanged. Raises `UnusableRowError` unless chat templates accept them.

    They accept optional tools and system turns, then alternating user and assistant turns. The results of an assistant turn's
    tool calls may follow it. The last turn is the user's, or the result of a call.
    """
    if len(turns) == 1 and turns[0].role == "user":
        return turns
    dialog = turns
    for role in ("tools", "system"):
        dialog = dialog[1:] if dialog and dialog[0].role == role else dialog
    if not dialog:
        raise UnusableRowError(f"{location} is empty: it has no user turn")
    if any(turn.role == "system" for turn in dialog):
        raise UnusableRowError(f"{location} has a system turn that is not the first")
    if dialog[0].role != "user" or any(other.role not in _NEXT_ROLES[one.role] for one, other in pairwise(dialog)):
        raise UnusableRowError(f"{location} does not alternate between user and assistant, starting with the user")
    _require_calls(dialog, location)
    if dialog[-1].role == "assistant":
        raise UnusableRowError(f"{location} ends with an assistant turn; the last turn must be the user's")
    return turns


def _require_calls(dialog: Prompt, location: str) -> None:
    open_calls = 0
    for turn in dialog:
        open_calls = open_calls - 1 if turn.role == "tool" else len(split_tool_calls(turn.content)[1])
        if open_calls < 0:
            raise UnusableRowError(f"{location} has more tool results than tool calls before them")


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
