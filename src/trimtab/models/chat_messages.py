"""Conversations as the messages and tools that chat templates and training files expect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core.tool_calls import ToolCall, split_tool_calls


@dataclass(frozen=True, slots=True)
class ChatMessages:
    """Messages with `role`, `content` and, for tool calls, `tool_calls`; the definitions of the tools, or None without any."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None

    @property
    def has_tools(self) -> bool:
        """Whether there are definitions, calls or results of tools."""
        is_tool_turn = (message["role"] == "tool" or "tool_calls" in message for message in self.messages)
        return self.tools is not None or any(is_tool_turn)


def build_chat_messages(turns: Sequence[tuple[str, str]]) -> ChatMessages:
    """Builds the messages of turns (role, content). A result gets the id and the name of its call, which precedes it."""
    tools, messages = None, list[dict[str, Any]]()
    unanswered: list[ToolCall] = []
    for role, content in turns:
        if role == "tools":
            tools = json.loads(content)
        elif role == "tool":
            messages.append({"role": role, **_describe_answer(unanswered), "content": content})
        elif role == "assistant":
            text, calls = split_tool_calls(content)
            unanswered = list(calls)
            parts = {"tool_calls": [call.to_message_part() for call in calls]} if calls else {}
            messages.append({"role": role, "content": text, **parts})
        else:
            messages.append({"role": role, "content": content})
    return ChatMessages(messages, tools)


def _describe_answer(unanswered: list[ToolCall]) -> dict[str, str]:
    """The id and the name of the first call that has no result yet."""
    if not unanswered:
        return {}
    call = unanswered.pop(0)
    return {**({"tool_call_id": call.id} if call.id else {}), "name": call.name}
