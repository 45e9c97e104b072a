"""Parses the tool calls of an assistant turn, and the definitions of the tools of a conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trimtab.core.tool_calls import ToolCall, build_tool_call
from trimtab.data.parsing.json_rows import parse_json
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text
from trimtab.types import Message


def parse_tool_calls(value: Any, location: str) -> tuple[ToolCall, ...]:
    """Parses a list of {id, function: {name, arguments}}. Arguments are an object, or an object as JSON text."""
    items = _parse_json_text(value, location)
    if not isinstance(items, list):
        raise UnusableRowError(
            f"{location} has 'tool_calls' that are {describe_value(value)}, expected a list of calls"
        )
    return tuple(_parse_tool_call(item, location) for item in items)


def _parse_tool_call(item: Any, location: str) -> ToolCall:
    function = item.get("function") if isinstance(item, dict) and isinstance(item.get("function"), dict) else item
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UnusableRowError(f"{location} has a tool call without a function name")
    call_id = item.get("id")
    try:
        return build_tool_call(
            function["name"],
            _parse_json_text(function.get("arguments") or {}, location),
            call_id if isinstance(call_id, str) else "",
        )
    except (ValueError, RecursionError) as error:
        raise UnusableRowError(
            f"{location}: {error if isinstance(error, ValueError) else 'nested too deeply'}"
        ) from None


def _parse_json_text(value: Any, location: str) -> Any:
    """The value, parsed if it is JSON text. Keys that are null are absent, except in JSON text."""
    if not isinstance(value, str):
        return _drop_nulls(value)
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        raise UnusableRowError(f"{location} has a tool call or definition whose text is not JSON") from None


def _drop_nulls(value: Any) -> Any:
    """Tables fill the keys of nested objects that a row does not have with null."""
    if isinstance(value, Mapping):
        return {key: _drop_nulls(item) for key, item in value.items() if item is not None}
    return [_drop_nulls(item) for item in value] if isinstance(value, list) else value


def parse_tools(value: Any, column: str) -> Message:
    """Parses a list of tool definitions, or a list as JSON text, into the turn that holds them."""
    tools = _parse_json_text(value, f"{column!r}")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}, expected a list of tool definitions")
    for tool in tools:
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UnusableRowError(f"{column!r} has a tool definition without a name")
    return Message(role="tools", content=parse_text(json.dumps(tools, ensure_ascii=False), f"{column!r}"))
