"""Builds a dataset from rows: each pair once, and every other row counted with the reason."""

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

# Number of rows from which the layout is detected.
DETECTION_SAMPLE_SIZE = 100
# Location of the row, and its pair.
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
    """Parses a source's rows into pairs. With `limit`, returns a random sample, in the order of the sampling hash.

    With `rating_column`, each row has one response and its rating, and each prompt gives one pair. `turns` selects whether a
    prompt keeps all its turns or only the last.
    Raises `DataError` if there are no rows, no layout fits them, or none of them is usable.
    """
    stream = iter(rows if rating_column is None else pair_rated_responses(rows, rating_column))
    head: list[SourceRow | RowFailure] = []
    for row in stream:
        head.append(row)
        if len(head) == DETECTION_SAMPLE_SIZE:
            break
    sample = [row for row in head if isinstance(row, SourceRow)]
    if not head:
        raise DataError(f"{origin}: is empty; expected rows with columns such as prompt, chosen, rejected")
    if not sample:
        head.extend(stream)
        raise _no_usable_rows_error(origin, [row for row in head if isinstance(row, RowFailure)])
    detected = detect_layout(sample, origin, layout)
    pairs, failures = _deduplicate([_parse_row(row, detected, turns) for row in chain(head, stream)])
    if not pairs:
        raise _no_usable_rows_error(origin, failures)
    details = (f", by {rating_column!r}" if rating_column else "") + (", last turn only" if turns == "last" else "")
    return Dataset(pairs=sample_pairs(pairs, limit, seed), failures=tuple(failures), layout=detected.name + details)


def concat_datasets(datasets: Sequence[Dataset], *, limit: int | None = None, seed: int = 0) -> Dataset:
    """The pairs of several datasets as one dataset, with all failures. A pair that occurs in several is kept once."""
    pairs, failures = _deduplicate([(f"pair {pair.id}", pair) for dataset in datasets for pair in dataset.pairs])
    layout = "; ".join(dict.fromkeys(dataset.layout for dataset in datasets))
    if not pairs:
        raise _no_usable_rows_error(layout, failures)
    earlier = [failure for dataset in datasets for failure in dataset.failures]
    return Dataset(pairs=sample_pairs(pairs, limit, seed), failures=(*earlier, *failures), layout=layout)


def sample_pairs(pairs: Sequence[Pair], limit: int | None, seed: int) -> tuple[Pair, ...]:
    """All pairs in order, or `limit` of them, selected and ordered by the hash of `seed` and pair id."""
    if limit is None:
        return tuple(pairs)
    return tuple(sorted(pairs, key=lambda pair: text_hash(str(seed), pair.id))[:limit])


def _parse_row(row: SourceRow | RowFailure, layout: Layout, turns: PromptTurns) -> ParsedRow | RowFailure:
    if isinstance(row, RowFailure):
        return row
    try:
        pair = layout.parse(row.cells)
    except UnusableRowError as error:
        return RowFailure(location=row.location, reason=str(error))
    return row.location, pair if turns == "all" else _keep_last_turn(pair)


def _keep_last_turn(pair: Pair) -> Pair:
    """The pair with only the last turn of its prompt, which is the user's."""
    preferred: dict[Choice | None, Literal["first", "second"] | None] = {"a": "first", "b": "second", None: None}
    return Pair.from_responses(pair.prompt[-1:], pair.a, pair.b, preferred[pair.human])


def _deduplicate(rows: Sequence[ParsedRow | RowFailure]) -> tuple[list[Pair], list[RowFailure]]:
    """Keeps each pair once. A label overrides a missing one; opposite labels make every row of the pair a failure."""
    labels: dict[str, set[Choice]] = {}
    for row in rows:
        if not isinstance(row, RowFailure):
            _, pair = row
            labels.setdefault(pair.id, set()).update([pair.human] if pair.human else [])
    pairs: list[Pair] = []
    failures: list[RowFailure] = []
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, RowFailure):
            failures.append(row)
            continue
        location, pair = row
        if len(labels[pair.id]) > 1:
            failures.append(RowFailure(location=location, reason="duplicate pair with opposite labels"))
        elif pair.id in seen:
            failures.append(RowFailure(location=location, reason="duplicate pair"))
        else:
            seen.add(pair.id)
            pairs.append(replace(pair, human=next(iter(labels[pair.id]), None)))
    return pairs, failures


def _no_usable_rows_error(origin: str, failures: Sequence[RowFailure]) -> DataError:
    most_common = Counter(failure.reason for failure in failures).most_common(3)
    reasons = "; ".join(f"{reason} ({count} rows)" for reason, count in most_common)
    return DataError(
        f"{origin}: none of the {len(failures)} rows is usable, starting with {failures[0].location}: {reasons}"
    )
