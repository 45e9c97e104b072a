"""Rows of one response and its rating each, to rows of a prompt with its best and its worst response."""

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
    where: str
    prompt: Any
    response: Any
    rating: float


def pair_rated_responses(rows: Iterable[SourceRow | RowFailure], column: str) -> Iterator[SourceRow | RowFailure]:
    """A row a prompt, with the columns `prompt`, `chosen` and `rejected`, in the order in which the prompts come first.

    `chosen` is the first response with the highest rating in `column`, `rejected` the first with the lowest. A prompt with
    one response, or with one rating for all, is a failure.
    """
    groups: dict[Prompt, list[_RatedResponse]] = {}
    for row in rows:
        if isinstance(row, RowFailure):
            yield row
            continue
        try:
            asked, found = parse_prompt(get_cell(row.cells, "prompt")), _parse_rated_response(row, column)
        except UnusableRowError as error:
            yield RowFailure(location=row.where, reason=str(error))
        else:
            groups.setdefault(asked, []).append(found)
    yield from (_select_best_and_worst(group, column) for group in groups.values())


def _parse_rated_response(row: SourceRow, column: str) -> _RatedResponse:
    return _RatedResponse(
        where=row.where,
        prompt=row.cells["prompt"],
        response=get_cell(row.cells, "response"),
        rating=_parse_rating(get_cell(row.cells, column), column),
    )


def _parse_rating(value: Any, column: str) -> float:
    """A finite number, which CSV has as text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}, a number is needed")
    return number


def _select_best_and_worst(group: Sequence[_RatedResponse], column: str) -> SourceRow | RowFailure:
    best, worst = max(group, key=lambda each: each.rating), min(group, key=lambda each: each.rating)
    if len(group) == 1:
        return RowFailure(location=best.where, reason="the only response to its prompt; two are needed")
    if best.rating == worst.rating:
        return RowFailure(location=best.where, reason=f"all responses to its prompt have the same {column!r}")
    return SourceRow(
        where=best.where, cells={"prompt": best.prompt, "chosen": best.response, "rejected": worst.response}
    )
