"""Picks the best and the worst of a prompt's rated responses, as in UltraFeedback and Nectar."""

from __future__ import annotations

from typing import Any

from trimtab.data.parsing.labels import parse_number
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text

# Text and rating of a response, by the column of the list. The ratings of `answers` are ranks: 1 is the best.
_TEXT_KEYS = {"completions": "response", "answers": "answer"}
_RATING_KEYS = {"completions": ("fine-grained_score", "overall_score"), "answers": ("rank",)}


def select_best_and_worst(value: Any, column: str) -> tuple[str, str]:
    """The first response with the best rating and the first with the worst."""
    if not isinstance(value, list) or len(value) < 2:
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected at least two responses")
    rated = [_parse_candidate(item, column, f"{column!r}, item {number}") for number, item in enumerate(value, start=1)]
    ratings = [rating for rating, _ in rated]
    if min(ratings) == max(ratings):
        raise UnusableRowError(f"all responses in {column!r} have the same rating")
    return rated[ratings.index(max(ratings))][1], rated[ratings.index(min(ratings))][1]


def _parse_candidate(item: Any, column: str, location: str) -> tuple[float, str]:
    """The rating (higher is better) and the text."""
    if not isinstance(item, dict):
        raise UnusableRowError(
            f"{location} is {describe_value(item)}, expected an object with a response and its rating"
        )
    key = next((name for name in _RATING_KEYS[column] if item.get(name) is not None), None)
    if key is None:
        raise UnusableRowError(f"{location} has no {' or '.join(map(repr, _RATING_KEYS[column]))}")
    rating = parse_number(item[key], key)
    return (-rating if key == "rank" else rating), parse_text(item.get(_TEXT_KEYS[column]), location)
