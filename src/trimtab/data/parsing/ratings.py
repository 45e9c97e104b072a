"""Converts rows with one rated response each into rows with a prompt and its best and worst response."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.data.parsing.files import SourceRow
from trimtab.data.parsing.layouts import get_cell
from trimtab.data.parsing.messages import UnusableRowError, describe_value, parse_prompt
from trimtab.types import Prompt, RowFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class _RatedResponse:
    location: str
    prompt: Any
    response: Any
    rating: float


def pair_rated_responses(rows: Iterable[SourceRow | RowFailure], column: str) -> Iterator[SourceRow | RowFailure]:
    """Yields one row per prompt with the columns `prompt`, `chosen` and `rejected`, in order of first occurrence.

    `chosen` is the first response with the highest rating in `column`, `rejected` the first with the lowest. A prompt with
    only one response, or with equal ratings, is a failure.
    """
    groups: dict[Prompt, list[_RatedResponse]] = {}
    for row in rows:
        if isinstance(row, RowFailure):
            yield row
            continue
        try:
            prompt, response = parse_prompt(get_cell(row.cells, "prompt")), _parse_rated_response(row, column)
        except UnusableRowError as error:
            yield RowFailure(location=row.location, reason=str(error))
        else:
            groups.setdefault(prompt, []).append(response)
    yield from (_select_best_and_worst(group, column) for group in groups.values())


def _parse_rated_response(row: SourceRow, column: str) -> _RatedResponse:
    return _RatedResponse(
        location=row.location,
        prompt=row.cells["prompt"],
        response=get_cell(row.cells, "response"),
        rating=_parse_rating(get_cell(row.cells, column), column),
    )


def _parse_rating(value: Any, column: str) -> float:
    """A finite number, also from text, as in CSV files."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected a number")
    return number


def _select_best_and_worst(group: Sequence[_RatedResponse], column: str) -> SourceRow | RowFailure:
    best, worst = max(group, key=lambda response: response.rating), min(group, key=lambda response: response.rating)
    if len(group) == 1:
        return RowFailure(location=best.location, reason="the only response to its prompt; at least two are required")
    if best.rating == worst.rating:
        return RowFailure(location=best.location, reason=f"all responses to the prompt have the same {column!r}")
    return SourceRow(
        location=best.location, cells={"prompt": best.prompt, "chosen": best.response, "rejected": worst.response}
    )
