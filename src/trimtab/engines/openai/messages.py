"""Converts engine requests to the OpenAI protocol and removes repeated prefills and stop texts from replies. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trimtab.prompts.delimiters import INVISIBLE, LINE_BREAKS, match_heading
from trimtab.types import ROLES, EngineRequest, Generation

# Ends a turn of a conversation written as text: the heading of the next user turn.
TURN_END = "\n\nUser:\n"
# A line that is a turn heading in any spelling, and the spaces and invisible characters in it.
_SPACE = rf"(?:[^\S{LINE_BREAKS}]|[{INVISIBLE}])*+"
_HEADING = re.compile(
    rf"(?:^|(?<=[{LINE_BREAKS}]))[{INVISIBLE}]*+\\*+{match_heading(ROLES, ' ')}{_SPACE}(?=[{LINE_BREAKS}]|\Z)",
    re.IGNORECASE,
)
# For servers that always start a new turn. Without the second sentence, models repeat long explanations before the verdict
# in every sample; `strip_repeated_prefill` removes what they repeat anyway.
CONTINUE_INSTRUCTION = "Your answer begins with the following. Write only what comes next, and do not repeat it:"


def to_text(request: EngineRequest) -> str:
    """The conversation as text, up to the end of the prefill.

    A line of a message that looks like a turn heading is escaped by one more backslash than it already has.
    """
    turns = [
        f"{message.role.capitalize()}:\n{_HEADING.sub(_escape_heading, message.content)}" for message in request.prompt
    ]
    return "\n\n".join([*turns, f"Assistant:\n{request.prefill}"])


def _escape_heading(line: re.Match[str]) -> str:
    return f"\\{line[0]}"


def to_messages(request: EngineRequest, prefill: str) -> dict[str, Any]:
    """The request fields of the conversation, with the prefill encoded according to the setting `Openai.prefill`."""
    messages: list[dict[str, Any]] = [{"role": message.role, "content": message.content} for message in request.prompt]
    if not request.prefill:
        return {"messages": messages}
    if prefill == "unsupported":
        return {"messages": _append_prefill_instruction(messages, request.prefill)}
    last: dict[str, Any] = {"role": "assistant", "content": request.prefill}
    if prefill == "prefix_flag":
        last["prefix"] = True
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    return {"messages": [*messages, last], **(flags if prefill == "continue_flag" else {})}


def _append_prefill_instruction(messages: list[dict[str, Any]], prefill: str) -> list[dict[str, Any]]:
    instruction = f"{CONTINUE_INSTRUCTION}\n{prefill}"
    *before, last = messages
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": instruction}]
    return [*before, {**last, "content": f"{last['content']}\n\n{instruction}"}]


def strip_repeated_prefill(prefill: str, text: str, *, by_word: bool = False) -> str:
    """The reply without the part of the prefill that it repeats at its start.

    The repeated part is the whole prefill, some of its last lines or, with `by_word`, some of its last words.
    """
    reply = text.lstrip()
    for start in range(len(prefill)):
        if start and prefill[start - 1] != "\n" and not (by_word and prefill[start - 1].isspace()):
            continue
        if prefill[start] == "\n" or (by_word and prefill[start].isspace()):
            continue  # the next start gives the same words
        repeated = prefill[start:].strip()
        if repeated and reply.startswith(repeated):
            rest = reply[len(repeated) :]
            if not (repeated[-1].isalnum() and rest[:1].isalnum()):
                return rest.lstrip() if prefill[-1].isspace() else rest
    return text


def cut_at_stop(generation: Generation, stop: Sequence[str]) -> Generation:
    """The text up to the first stop text, for servers that ignore stop texts."""
    positions = [generation.text.index(text) for text in stop if text in generation.text]
    if not positions:
        return generation
    return replace(generation, text=generation.text[: min(positions)].rstrip(), finish_reason="end")
