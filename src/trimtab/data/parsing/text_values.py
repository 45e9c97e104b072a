"""Checks the text of a cell, and describes values in errors. No error repeats a row's text."""

from __future__ import annotations

import re
from typing import Any

from trimtab.data.parsing.rows import UnreadableValue

# What a byte that is not UTF-8 becomes when a file is read.
_UNDECODED_BYTE = re.compile("[\udc80-\udcff]")
MAX_SHOWN_NUMBER = 24
_SHOWN_WORDS = ("tool", "function", "developer", "model", "tie", "both", "both_bad", "neither", "draw", "none")
_STRINGIFIED_MESSAGES = re.compile(r"\s*\[\s*\{\s*['\"](role|content|from|value)['\"]\s*:")
# Turns written out in the marks of a chat template, which would get a second template around them.
_TEMPLATE_MARKS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>(?:user|model)|<\|(?:user|assistant|system)\|>|<<SYS>>"
    r"|<\uff5c(?:User|Assistant)\uff5c>|(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>)\s*\Z"
)
_INSTRUCTION_START = re.compile(r"\s*(?:<s>\s*)?\[INST\]")
# The last line of a text that leaves the answer to the model, in the plain text of Alpaca's and Vicuna's templates.
_OPEN_ANSWER = re.compile(r"^#{1,4} ?(?:Response|Assistant|Answer) ?:$|\bASSISTANT:$")
_MAX_HEADING = 40


class UnusableRowError(ValueError):
    """A row cannot become a pair. The message is the reason of the failure."""


def describe_value(value: Any) -> str:
    """Describes a value in an error: numbers and a few known words verbatim, anything else by type and size."""
    if isinstance(value, str):
        is_shown = value.lower() in _SHOWN_WORDS or (len(value) <= 3 and value.isdigit())
        return repr(value) if is_shown else f"a text of {len(value)} characters"
    if isinstance(value, UnreadableValue):
        return "a value that cannot be read"
    if value is None or isinstance(value, int | float):
        shown = repr(value)
        return shown if len(shown) <= MAX_SHOWN_NUMBER else "a very large number"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | dict) else "")


def parse_text(value: Any, location: str) -> str:
    """The cell unchanged. Raises `UnusableRowError` unless it is non-empty text."""
    if not isinstance(value, str):
        raise UnusableRowError(f"{location} is {describe_value(value)}, expected text")
    if not value.strip():
        raise UnusableRowError(f"{location} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        remedy = "; save the file as UTF-8" if _UNDECODED_BYTE.search(value) else ""
        raise UnusableRowError(f"{location} is not valid UTF-8 text{remedy}") from None
    if _STRINGIFIED_MESSAGES.match(value):
        raise UnusableRowError(
            f"{location} is a list of messages serialized as text; use a real list, in jsonl or parquet"
        )
    marks = _INSTRUCTION_START.match(value) or ("<" in value and _TEMPLATE_MARKS.search(value))
    if marks:
        raise UnusableRowError(
            f"{location} contains {marks.group().strip()}, a mark of a chat template; use plain text or messages"
        )
    return value


def refuse_open_answer(text: str, location: str) -> None:
    """Raises `UnusableRowError` for a prompt that a template with plain headings has already formatted, as Alpaca's does."""
    end = text[-_MAX_HEADING:].rstrip()
    match = _OPEN_ANSWER.search(end[end.rfind("\n") + 1 :])
    if match is not None and (match[0].startswith("#") or "USER:" in text):
        raise UnusableRowError(
            f"{location} ends with {match[0]!r}, the heading of an answer in a chat template; use plain text or messages"
        )
