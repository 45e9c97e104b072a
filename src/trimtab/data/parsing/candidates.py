"""Picks the best and the worst of a prompt's rated responses, as in UltraFeedback and Nectar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.data.parsing.labels import parse_number
from trimtab.data.parsing.rows import is_missing
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text

# Text and rating of a response, by the column of the list. The ratings of `answers` are ranks: 1 is the best.
_TEXT_KEYS = {"completions": "response", "answers": "answer"}
_RATING_KEYS = {"completions": ("fine-grained_score", "overall_score"), "answers": ("rank",)}


def select_best_and_worst(value: Any, column: str) -> tuple[str, str]:
    """The first response with the best rating and the first with the worst."""
    if not isinstance(value, list) or len(value) < 2:
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected at least two responses")
    items = {f"{column!r}, item {number}": item for number, item in enumerate(value, start=1)}
    key = _find_rating_key(items, column)
    ratings = [(-1 if key == "rank" else 1) * parse_number(item[key], key) for item in value]
    texts = [parse_text(item.get(_TEXT_KEYS[column]), location) for location, item in items.items()]
    if min(ratings) == max(ratings):
        raise UnusableRowError(f"all responses in {column!r} have the same rating")
    return texts[ratings.index(max(ratings))], texts[ratings.index(min(ratings))]


def _find_rating_key(items: Mapping[str, Any], column: str) -> str:
    """The first rating that every response has: those of two names can have two scales."""
    keys = _RATING_KEYS[column]
    for location, item in items.items():
        if not isinstance(item, dict):
            raise UnusableRowError(
                f"{location} is {describe_value(item)}, expected an object with a response and its rating"
            )
        if all(is_missing(item.get(name)) for name in keys):
            raise UnusableRowError(f"{location} has no {' or '.join(map(repr, keys))}")
    common = [name for name in keys if not any(is_missing(item.get(name)) for item in items.values())]
    if not common:
        raise UnusableRowError(f"no rating is that of all responses in {column!r}: {', '.join(map(repr, keys))}")
    return common[0]
