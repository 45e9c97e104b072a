"""Columns of a row that change what its prompt means: system prompts, earlier turns and tools are read, media are refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.messages import EXCHANGE, is_message_list, parse_messages
from trimtab.data.parsing.rows import is_empty
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text
from trimtab.data.parsing.tool_messages import parse_tools
from trimtab.types import Message, Prompt

SYSTEM_COLUMNS = ("system", "system_prompt")
TOOLS_COLUMN = "tools"
# Alpaca's names. Its `input` is the text that the instruction is about, and often empty.
INSTRUCTION_COLUMN, INPUT_COLUMN = "instruction", "input"
CONTEXT_COLUMNS = (*SYSTEM_COLUMNS, "history", TOOLS_COLUMN)
REFUSED_COLUMNS = {
    **dict.fromkeys(("image", "images", "video", "videos", "audio", "audios"), "Trimtab reads only text"),
    "functions": "expected tool definitions in the column 'tools'",
}
_REFUSED_NAMES = tuple(sorted(REFUSED_COLUMNS))


def add_context(turns: Prompt, cells: Mapping[str, Any], settings: ColumnSettings, used: Collection[str]) -> Prompt:
    """The turns after the row's tools, system prompt and earlier turns, from columns outside `used`.

    Raises `UnusableRowError` if the row has images or audio, two system prompts, or an unreadable history.
    """
    for name in _REFUSED_NAMES:
        if name in cells and name not in used and not is_empty(cells[name]):
            raise UnusableRowError(f"{name!r} is not empty: {REFUSED_COLUMNS[name]}")
    history = _history_column(settings)
    if history is not None and history not in used and not is_empty(cells.get(history)):
        turns = (*_parse_history(cells[history], history), *turns)
    for name in _list_system_columns(settings):
        if name not in used and not is_empty(cells.get(name)):
            turns = _add_system_turn(turns, parse_text(cells[name], f"{name!r}"), name)
    tools = settings.names.get("tools", TOOLS_COLUMN)
    if tools is not None and tools not in used and not is_empty(cells.get(tools)):
        turns = (parse_tools(cells[tools], tools), *turns)
    return turns


def add_input(turns: Prompt, cells: Mapping[str, Any], column: str) -> Prompt:
    """The turns of a prompt in `column`, with the text in the column `input` if it is an instruction in Alpaca's form."""
    if column != INSTRUCTION_COLUMN or is_empty(cells.get(INPUT_COLUMN)):
        return turns
    text = parse_text(cells[INPUT_COLUMN], f"{INPUT_COLUMN!r}")
    return (*turns[:-1], replace(turns[-1], content=f"{turns[-1].content}\n\n{text}"))


def validate_no_history(cells: Mapping[str, Any], settings: ColumnSettings) -> None:
    """Raises `UnusableRowError` if a row of whole conversations also has a column of earlier turns."""
    history = _history_column(settings)
    if history is not None and not is_empty(cells.get(history)):
        raise UnusableRowError(
            f"the responses are whole conversations, and {history!r} has earlier turns; to ignore it, set `columns: "
            "{history: null}`"
        )


def _history_column(settings: ColumnSettings) -> str | None:
    return settings.names.get("history", "history")


def _list_system_columns(settings: ColumnSettings) -> tuple[str, ...]:
    if "system" not in settings.names:
        return SYSTEM_COLUMNS
    name = settings.names["system"]
    return () if name is None else (name,)


def _add_system_turn(turns: Prompt, text: str, column: str) -> Prompt:
    if not turns or turns[0].role != "system":
        return (Message(role="system", content=text), *turns)
    if turns[0].content.strip() == text.strip():
        return turns
    raise UnusableRowError(f"{column!r} differs from the system turn of the prompt; keep one of them")


def _parse_history(value: Any, column: str) -> Prompt:
    """Earlier turns: messages, or a list of [user, assistant] pairs. Both may be written as JSON text."""
    location = f"{column!r}"
    found = describe_value(value)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if is_message_list(value) and not all(isinstance(item, list | tuple) for item in value):
        return parse_messages(value, location)
    if not isinstance(value, list) or not all(len(item) == 2 for item in value):
        raise UnusableRowError(
            f"{location} is {found}; expected messages or [user, assistant] pairs; to ignore it, set "
            "`columns: {history: null}`"
        )
    return tuple(
        Message(role=role, content=parse_text(text, f"{location}, pair {number}"))
        for number, pair in enumerate(value, start=1)
        for role, text in zip(EXCHANGE, pair, strict=True)
    )
