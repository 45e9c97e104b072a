"""Rows to one dataset: each pair once, every other row counted with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

from trimtab.data.parsing.files import SourceRow
from trimtab.data.parsing.layouts import Layout, LayoutName, detect_layout
from trimtab.data.parsing.messages import UnusableRowError
from trimtab.data.parsing.ratings import pair_rated_responses
from trimtab.errors import DataError
from trimtab.types import Choice, Dataset, Pair, RowFailure, text_hash

DETECTION_SAMPLE_SIZE = 100
ParsedRow = tuple[str, Pair]
PromptTurns = Literal["all", "last"]


def build_dataset(
    rows: Iterable[SourceRow | RowFailure],
    origin: str,
    *,
    layout: LayoutName = "auto",
    turns: PromptTurns = "all",
    rating_column: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The pairs of a source's rows. With `limit`, a sample by the hash of `seed` and pair id, in that hash's order.

    With `rating`, a column's name, a row is one response and its rating, and a prompt gives one pair. Of each prompt `turns`
    keeps all, or the last alone.
    Raises `DataError` where there are no rows, no layout fits them, or not one of them can be used.
    """
    stream = iter(rows if rating_column is None else pair_rated_responses(rows, rating_column))
    head: list[SourceRow | RowFailure] = []
    for row in stream:
        head.append(row)
        if len(head) == DETECTION_SAMPLE_SIZE:
            break
    sample = [row for row in head if isinstance(row, SourceRow)]
    if not head:
        raise DataError(f"{origin}: is empty; needed are rows with columns such as prompt, chosen, rejected")
    if not sample:
        head.extend(stream)
        raise _no_usable_rows_error(origin, [row for row in head if isinstance(row, RowFailure)])
    found = detect_layout(sample, origin, layout)
    pairs, failures = _deduplicate([_parse_row(row, found, turns) for row in chain(head, stream)])
    if not pairs:
        raise _no_usable_rows_error(origin, failures)
    told = (f", by {rating_column!r}" if rating_column else "") + (", last turn alone" if turns == "last" else "")
    return Dataset(pairs=sample_pairs(pairs, limit, seed), failures=tuple(failures), layout=found.name + told)


def concat_datasets(datasets: Sequence[Dataset], *, limit: int | None = None, seed: int = 0) -> Dataset:
    """The pairs of several datasets as of one, with all their failures; a pair that several have is kept once."""
    pairs, failures = _deduplicate([(f"pair {pair.id}", pair) for each in datasets for pair in each.pairs])
    layout = "; ".join(dict.fromkeys(each.layout for each in datasets))
    if not pairs:
        raise _no_usable_rows_error(layout, failures)
    before = [failure for each in datasets for failure in each.failures]
    return Dataset(pairs=sample_pairs(pairs, limit, seed), failures=(*before, *failures), layout=layout)


def sample_pairs(pairs: Sequence[Pair], limit: int | None, seed: int) -> tuple[Pair, ...]:
    """All pairs in their order or, with `limit`, that many, by the hash of `seed` and pair id and in that hash's order."""
    if limit is None:
        return tuple(pairs)
    return tuple(sorted(pairs, key=lambda pair: text_hash(str(seed), pair.id))[:limit])


def _parse_row(row: SourceRow | RowFailure, layout: Layout, turns: PromptTurns) -> ParsedRow | RowFailure:
    if isinstance(row, RowFailure):
        return row
    try:
        pair = layout.parse(row.cells)
    except UnusableRowError as error:
        return RowFailure(location=row.where, reason=str(error))
    return row.where, pair if turns == "all" else _keep_last_turn(pair)


def _keep_last_turn(pair: Pair) -> Pair:
    """The pair with nothing of its prompt but the last turn, which is the user's."""
    preferred: dict[Choice | None, Literal["first", "second"] | None] = {"a": "first", "b": "second", None: None}
    return Pair.from_responses(pair.prompt[-1:], pair.a, pair.b, preferred[pair.human])


def _deduplicate(read: Sequence[ParsedRow | RowFailure]) -> tuple[list[Pair], list[RowFailure]]:
    """Each pair once. A label wins over none; opposite labels fail every row of the pair."""
    labels: dict[str, set[Choice]] = {}
    for row in read:
        if not isinstance(row, RowFailure):
            _, pair = row
            labels.setdefault(pair.id, set()).update([pair.human] if pair.human else [])
    pairs: list[Pair] = []
    failures: list[RowFailure] = []
    first_seen: dict[str, str] = {}
    for row in read:
        if isinstance(row, RowFailure):
            failures.append(row)
            continue
        where, pair = row
        if len(labels[pair.id]) > 1:
            failures.append(RowFailure(location=where, reason="the same pair with opposite labels"))
        elif pair.id in first_seen:
            failures.append(RowFailure(location=where, reason="repeated: the same pair came before"))
        else:
            first_seen[pair.id] = where
            pairs.append(replace(pair, human=next(iter(labels[pair.id]), None)))
    return pairs, failures


def _no_usable_rows_error(origin: str, failures: Sequence[RowFailure]) -> DataError:
    common = Counter(failure.reason for failure in failures).most_common(3)
    reasons = "; ".join(f"{reason} ({count} rows)" for reason, count in common)
    return DataError(f"{origin}: none of the {len(failures)} rows can be used, first {failures[0].location}: {reasons}")
