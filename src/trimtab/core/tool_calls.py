"""Tool calls in the text of an assistant turn, in one notation that does not depend on the model.

A call is a line `<tool_call name="weather" id="c1">{"town": "Oslo"}</tool_call>` at the end of the text. So judges and reports
show calls like any other text; chat templates and exported files get them as structured messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_END = "</tool_call>"
_LINE = re.compile(rf'<tool_call name="([^"<>\s]+)"(?: id="([^"<>\s]+)")?>(\{{.*\}}){_END}')
_PLAIN_NAME = re.compile(r'[^"<>\s]{1,200}')


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a function. `arguments` is a JSON object on one line; `id` is empty if the call has none."""

    name: str
    arguments: str
    id: str = ""

    def to_message_part(self) -> dict[str, Any]:
        """The call as an item of a message's `tool_calls`, with its arguments as an object."""
        function = {"name": self.name, "arguments": json.loads(self.arguments)}
        return {**({"id": self.id} if self.id else {}), "type": "function", "function": function}


def build_tool_call(name: str, arguments: Any, call_id: str = "") -> ToolCall:
    """Builds a call from the object of its arguments. Raises `ValueError` if the notation cannot write the call."""
    for text in (name, *([call_id] if call_id else [])):
        if not _PLAIN_NAME.fullmatch(text):
            raise ValueError(
                "a name or an id of a tool call is empty, longer than 200 characters, or not one plain word"
            )
    if not isinstance(arguments, dict):
        raise ValueError("the arguments of a tool call are not a JSON object")
    return ToolCall(name=name, arguments=json.dumps(arguments, ensure_ascii=False), id=call_id)


def append_tool_calls(text: str, calls: Sequence[ToolCall]) -> str:
    """The text, followed by one line per call."""
    return "\n".join([*([text] if text else []), *map(_format_line, calls)])


def _format_line(call: ToolCall) -> str:
    call_id = f' id="{call.id}"' if call.id else ""
    return f'<tool_call name="{call.name}"{call_id}>{call.arguments}{_END}'


def split_tool_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The text before the calls at its end, and the calls. Without calls, the text is unchanged."""
    if not text.endswith(_END):
        return text, ()
    lines, calls = text.split("\n"), list[ToolCall]()
    while lines and (call := _parse_line(lines[-1])):
        calls.append(call)
        lines.pop()
    return "\n".join(lines), tuple(reversed(calls))


def _parse_line(line: str) -> ToolCall | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    try:
        json.loads(match[3])
    except (ValueError, RecursionError):
        return None
    return ToolCall(name=match[1], arguments=match[3], id=match[2] or "")
