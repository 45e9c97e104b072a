"""How a question and the beginning of its answer are put in OpenAI's protocol, and what of an answer only repeats it. Pure."""

from __future__ import annotations

import re
from typing import Any

from trimtab.types import EngineRequest

# Where a turn of a conversation written out as text ends: at the heading of the next.
TURN_END = "\n\nUser:\n"
_HEADING = re.compile(r"^\\*(?:System|User|Assistant):[^\S\n]*$", re.MULTILINE)
# For servers that answer in a new turn alone. That nothing is repeated saves what a thought in front of a verdict would
# cost once more with every draw; where a model repeats some of it all the same, `rest_of` takes it off.
CONTINUE_INSTRUCTION = "Your answer begins with the following. Write only what comes next, and do not repeat it:"


def to_text(question: EngineRequest) -> str:
    """A conversation written out, up to where the answer goes on. A line of a message that reads as the heading of a turn gets
    a backslash before it, one more than it has."""
    turns = [f"{each.role.capitalize()}:\n{_HEADING.sub(_escape_heading, each.content)}" for each in question.prompt]
    return "\n\n".join([*turns, f"Assistant:\n{question.prefill}"])


def _escape_heading(line: re.Match[str]) -> str:
    return f"\\{line[0]}"


def to_messages(question: EngineRequest, prefill: str) -> dict[str, Any]:
    """The fields of a request that hold the conversation, its answer's beginning as `Openai.prefill` says."""
    messages: list[dict[str, Any]] = [{"role": each.role, "content": each.content} for each in question.prompt]
    if not question.prefill:
        return {"messages": messages}
    if prefill == "none":
        return {"messages": _append_prefill_instruction(messages, question.prefill)}
    last: dict[str, Any] = {"role": "assistant", "content": question.prefill}
    if prefill == "prefix":
        last["prefix"] = True
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    return {"messages": [*messages, last], **(flags if prefill == "flag" else {})}


def _append_prefill_instruction(messages: list[dict[str, Any]], begins: str) -> list[dict[str, Any]]:
    said = f"{CONTINUE_INSTRUCTION}\n{begins}"
    *before, last = messages
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": said}]
    return [*before, {**last, "content": f"{last['content']}\n\n{said}"}]


def strip_repeated_prefill(prefill: str, text: str, *, by_word: bool = False) -> str:
    """The answer without as much of its beginning's end as it repeats: the whole, some last lines, or, with `words`, some
    last words of it."""
    said = text.lstrip()
    for start in range(len(prefill)):
        if start and prefill[start - 1] != "\n" and not (by_word and prefill[start - 1].isspace()):
            continue
        repeated = prefill[start:].strip()
        if repeated and said.startswith(repeated):
            rest = said[len(repeated) :]
            if not (repeated[-1].isalnum() and rest[:1].isalnum()):
                return rest.lstrip() if prefill[-1].isspace() else rest
    return text
