"""How a question and the beginning of its answer are put in OpenAI's protocol, and what of an answer only repeats it. Pure."""

from __future__ import annotations

import re
from typing import Any

from trimtab.types import Question

# Where a turn of a conversation written out as text ends: at the heading of the next.
TURN = "\n\nUser:\n"
_HEADING = re.compile(r"^\\*(?:System|User|Assistant):[^\S\n]*$", re.MULTILINE)
# For servers that answer in a new turn alone. That nothing is repeated saves what a thought in front of a verdict would
# cost once more with every draw; where a model repeats some of it all the same, `rest_of` takes it off.
GO_ON = "Your answer begins with the following. Write only what comes next, and do not repeat it:"


def as_text(question: Question) -> str:
    """A conversation written out, up to where the answer goes on. A line of a message that reads as the heading of a turn gets
    a backslash before it, one more than it has."""
    turns = [f"{each.role.capitalize()}:\n{_HEADING.sub(_marked, each.content)}" for each in question.prompt]
    return "\n\n".join([*turns, f"Assistant:\n{question.begins}"])


def _marked(line: re.Match[str]) -> str:
    return f"\\{line[0]}"


def as_messages(question: Question, prefill: str) -> dict[str, Any]:
    """The fields of a request that hold the conversation, its answer's beginning as `Openai.prefill` says."""
    messages: list[dict[str, Any]] = [{"role": each.role, "content": each.content} for each in question.prompt]
    if not question.begins:
        return {"messages": messages}
    if prefill == "none":
        return {"messages": _in_words(messages, question.begins)}
    last: dict[str, Any] = {"role": "assistant", "content": question.begins}
    if prefill == "prefix":
        last["prefix"] = True
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    return {"messages": [*messages, last], **(flags if prefill == "flag" else {})}


def _in_words(messages: list[dict[str, Any]], begins: str) -> list[dict[str, Any]]:
    said = f"{GO_ON}\n{begins}"
    *before, last = messages
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": said}]
    return [*before, {**last, "content": f"{last['content']}\n\n{said}"}]


def rest_of(begins: str, text: str, *, words: bool = False) -> str:
    """The answer without as much of its beginning's end as it repeats: the whole, some last lines, or, with `words`, some
    last words of it."""
    said = text.lstrip()
    for start in range(len(begins)):
        if start and begins[start - 1] != "\n" and not (words and begins[start - 1].isspace()):
            continue
        repeated = begins[start:].strip()
        if repeated and said.startswith(repeated):
            rest = said[len(repeated) :]
            if not (repeated[-1].isalnum() and rest[:1].isalnum()):
                return rest.lstrip() if begins[-1].isspace() else rest
    return text
