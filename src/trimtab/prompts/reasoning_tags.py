"""Separates a reasoning model's answer from the reasoning before it."""

from __future__ import annotations

from dataclasses import dataclass

# How reasoning models mark the start and the end of a thought.
_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply without its thought. `is_unfinished`: the thought has no end, so there is no answer."""

    answer: str
    has_thought: bool = False
    is_unfinished: bool = False


def separate_thought(text: str) -> Reply:
    """The answer is the text after the end of a thought at the start of the reply; without one, the whole text.

    The start tag may be missing, because some chat templates write it at the end of the prompt; the end tag then ends its
    line.
    """
    start = text.lstrip()
    for opening, closing in _TAGS:
        opened = start.startswith(opening)
        before, closed, answer = text.partition(closing)
        if closed and (opened or (opening not in before and answer[:1] in ("", "\n"))):
            return Reply(answer.lstrip(), has_thought=True)
        if opened:
            return Reply("", has_thought=True, is_unfinished=True)
    return Reply(text)
