"""Readable messages for pydantic validation errors: the location, what was found and what was expected."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from trimtab.errors import StudyError

_EXPECTATIONS = {
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing_size": "expected a whole number of fewer digits",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "string_type": "expected text",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "model_type": "expected a mapping of settings",
    "mapping_type": "expected a mapping of names to settings",
    "dict_type": "expected a mapping of names to settings",
    "tuple_type": "expected a list",
    "invalid_key": "a name must be text; put it in quotes",
    "finite_number": "must be a finite number",
}

_MAX_LINES = 20
_MAX_LINE_CHARACTERS = 1500
_MAX_VALUE_CHARACTERS = 200
_MAX_KEY_CHARACTERS = 60


def format_validation_errors(cls: type[BaseModel], errors: Sequence[ErrorDetails], location: str) -> list[str]:
    """Formats all validation errors: each line once, in limited length; the rest of a long list is counted."""
    lines = [line for details in errors for line in format_error(cls, details, location).splitlines()]
    lines = [_shorten(line, _MAX_LINE_CHARACTERS) for line in dict.fromkeys(lines)]
    more = len(lines) - _MAX_LINES
    return [*lines[:_MAX_LINES], f"… and {more} more errors"] if more > 0 else lines


def format_input(value: Any) -> str:
    """A value as it appears in a message: limited in depth and length."""
    short = reprlib.Repr()
    short.maxdict = short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = 6
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 4, 120, 120, 40
    try:
        return _shorten(short.repr(value), _MAX_VALUE_CHARACTERS)
    except ValueError:  # a number with more digits than Python writes
        return "a number of thousands of digits"


def format_error(cls: type[BaseModel], details: ErrorDetails, location: str) -> str:
    """Formats one validation error of `cls` at `location` (empty at the root), with one line per nested error."""
    path = [_shorten(str(part), _MAX_KEY_CHARACTERS) for part in details["loc"]]
    where = ".".join([location, *path] if location else path)
    if details["type"] == "extra_forbidden":
        valid_keys = list_valid_keys(cls, path[:-1])
        return f"{where}: unknown setting{format_suggestion(path[-1], valid_keys)} (expected one of: {', '.join(valid_keys)})"
    if details["type"] == "missing":
        return f"{where}: required setting is missing"
    where = where.replace(".function-plain[<lambda>()]", "")
    inner = details.get("ctx", {}).get("error")
    if isinstance(inner, StudyError):
        return "\n".join(_prefix_message(where, line) for line in str(inner).splitlines())
    if inner is not None:
        return _prefix_message(where, str(inner))
    message = f"{_describe_expectation(details)}, got {format_input(details['input'])}"
    return f"{where}: {message}" if where else message


def format_suggestion(word: str, candidates: Sequence[str]) -> str:
    """Returns `; did you mean 'beta'?` if a candidate is similar to the word, otherwise an empty string."""
    matches = difflib.get_close_matches(word[:_MAX_KEY_CHARACTERS], candidates, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def list_valid_keys(cls: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The valid setting names at `path` in `cls`; empty if the field types do not determine them."""
    fields = getattr(settings_class_at(cls, path), "model_fields", {})
    return sorted(field.alias or name for name, field in fields.items())


def settings_class_at(cls: type[BaseModel], path: Sequence[str]) -> Any:
    """The settings class at `path` below `cls`; parts of the path that are not fields (mapping keys) are skipped."""
    current: Any = cls
    for part in path:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            current = _find_settings_class(fields[part].annotation)
    return current


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _prefix_message(where: str, line: str) -> str:
    """Joins an outer location and an inner message: `annotator` and `kind: unknown` give `annotator.kind: unknown`."""
    head = line.split(":", 1)[0]
    starts_with_key = head.replace("_", "").replace(".", "").isalnum() and ": " in line
    return f"{where}{'.' if starts_with_key and where else ': ' if where else ''}{line}"


def _describe_expectation(details: ErrorDetails) -> str:
    if details["type"] == "string_pattern_mismatch":
        return f"expected text of the form {details.get('ctx', {}).get('pattern')}"
    message = _EXPECTATIONS.get(details["type"], details["msg"])
    return message.replace("Input should be a valid", "expected a").replace("Input should be", "must be")


def _find_settings_class(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((cls for part in get_args(annotation) if (cls := _find_settings_class(part))), None)
