"""Reads turns that are written as JSON lists of texts, one list per column, as in LMArena's tables."""

from __future__ import annotations

import json
from typing import Any

from trimtab.data.parsing.messages import EXCHANGE
from trimtab.data.parsing.text_values import UnusableRowError, parse_text
from trimtab.types import Message, Prompt


def parse_json_turns(prompt: Any, first: Any, second: Any, location: str) -> tuple[Prompt, str, str] | None:
    """The prompt's turns and the two last answers, or None if the prompt is not a JSON list with answers in JSON lists.

    Raises `UnusableRowError` if the answers before the last one differ, so that the two responses have different prompts.
    """
    questions = _parse_list(prompt)
    if questions is None:
        return None
    lists = [_parse_list(first), _parse_list(second)]
    if lists == [None, None]:
        return None
    answers, other_answers = (each or [] for each in lists)
    if not len(questions) == len(answers) == len(other_answers) > 0:
        raise UnusableRowError(f"{location} and the responses are JSON lists of different lengths")
    if answers[:-1] != other_answers[:-1]:
        raise UnusableRowError("the conversations differ before the last turn, so the responses have different prompts")
    turns = [
        Message(role=role, content=parse_text(text, f"{location}, turn {number}"))
        for number, exchange in enumerate(zip(questions, answers, strict=True), start=1)
        for role, text in zip(EXCHANGE, exchange, strict=True)
    ]
    return tuple(turns[:-1]), answers[-1], parse_text(other_answers[-1], "the last answer")


def _parse_list(value: Any) -> list[Any] | None:
    if not isinstance(value, str) or not value.startswith("["):
        return None
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return None
    is_turns = isinstance(items, list) and all(item is None or isinstance(item, str) for item in items)
    return items if is_turns else None
