"""Converts rows with one rated response each into rows with a prompt and its best and worst response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.data.parsing.column_settings import NO_COLUMN_SETTINGS, ColumnSettings
from trimtab.data.parsing.context_columns import add_context
from trimtab.data.parsing.labels import parse_number
from trimtab.data.parsing.layouts import get_cell
from trimtab.data.parsing.messages import parse_turns, validate_turns
from trimtab.data.parsing.rows import SourceRow, build_failure
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.types import Prompt, RowFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class _RatedResponse:
    row: SourceRow
    other_cells: Mapping[str, Any]
    prompt: Any
    response: Any
    rating: float


def pair_rated_responses(
    rows: Iterable[SourceRow | RowFailure], column: str, settings: ColumnSettings = NO_COLUMN_SETTINGS
) -> Iterator[SourceRow | RowFailure]:
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
            prompt, response = _parse_prompt(row.cells, settings), _parse_rated_response(row, column, settings)
        except UnusableRowError as error:
            yield build_failure(row, str(error))
        else:
            groups.setdefault(prompt, []).append(response)
    yield from (_select_best_and_worst(group, column) for group in groups.values())


def _parse_prompt(cells: Mapping[str, Any], settings: ColumnSettings) -> Prompt:
    name = settings.get_name("prompt")
    turns = parse_turns(get_cell(cells, name), f"{name!r}")
    return validate_turns(add_context(turns, cells, settings, (name, settings.get_name("response"))), f"{name!r}")


def _parse_rated_response(row: SourceRow, column: str, settings: ColumnSettings) -> _RatedResponse:
    prompt, response = settings.get_name("prompt"), settings.get_name("response")
    return _RatedResponse(
        row=replace(row, cells={}),
        other_cells={name: value for name, value in row.cells.items() if name not in (prompt, response)},
        prompt=row.cells[prompt],
        response=get_cell(row.cells, response),
        rating=_parse_rating(get_cell(row.cells, column), column),
    )


def _parse_rating(value: Any, column: str) -> float:
    """A number, or whether the response is good: true is above false."""
    return float(value) if isinstance(value, bool) else parse_number(value, column)


def _select_best_and_worst(group: Sequence[_RatedResponse], column: str) -> SourceRow | RowFailure:
    best, worst = max(group, key=lambda response: response.rating), min(group, key=lambda response: response.rating)
    if len(group) == 1:
        return build_failure(best.row, "the only response to its prompt; at least two are required")
    if best.rating == worst.rating:
        return build_failure(best.row, f"all responses to the prompt have the same {column!r}")
    return replace(
        best.row,
        cells={**best.other_cells, "prompt": best.prompt, "chosen": best.response, "rejected": worst.response},
    )
