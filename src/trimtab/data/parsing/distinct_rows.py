"""Parses rows into values, of which each is kept once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from trimtab.data.parsing.rows import Cells, SourceRow, build_failure
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.types import RowFailure

ParsedRow = TypeVar("ParsedRow")


def parse_distinct_rows(
    rows: Iterable[SourceRow | RowFailure],
    parse: Callable[[Cells], ParsedRow],
    get_key: Callable[[ParsedRow], str],
    noun: str,
) -> tuple[dict[str, ParsedRow], list[RowFailure]]:
    """The values by key, in the order of the rows, and a failure for every row that is unusable or repeats a `noun`."""
    found: dict[str, ParsedRow] = {}
    failures: list[RowFailure] = []
    for row in rows:
        if isinstance(row, RowFailure):
            failures.append(row)
            continue
        try:
            value = parse(row.cells)
        except UnusableRowError as error:
            failures.append(build_failure(row, str(error)))
            continue
        key = get_key(value)
        if key in found:
            failures.append(build_failure(row, f"duplicate {noun}", "duplicate"))
        found.setdefault(key, value)
    return found, failures
