"""Builds a dataset from rows: each pair once, and every other row counted with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trimtab.data.parsing.column_hints import build_no_layout_error
from trimtab.data.parsing.column_settings import NO_COLUMN_SETTINGS, ColumnSettings
from trimtab.data.parsing.labels import find_contradicting_scores, find_label_columns
from trimtab.data.parsing.layouts import ParsedPair, parse_row, shares_words
from trimtab.data.parsing.pair_rows import PairRow, PairRows
from trimtab.data.parsing.ratings import pair_rated_responses
from trimtab.data.parsing.row_columns import (
    LABELED_BY_COLUMN,
    LABELED_BY_VALUE,
    LayoutName,
    RowColumns,
    find_response_models,
    find_row_columns,
    list_required_columns,
)
from trimtab.data.parsing.rows import SourceRow, build_failure, format_columns
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.data.subsample import order_by_hash
from trimtab.errors import DataError
from trimtab.storage.disk_sequence import join_sequences, select_values
from trimtab.storage.id_index import IdIndex
from trimtab.types import Choice, Dataset, Pair, RowFailure, RowOrigin

PromptTurns = Literal["all", "last"]
# Text without a prompt counts as prompt and response in one only if 9 in 10 such rows share at least two words: two responses
# without their prompt also start with the same word now and then.
MIN_SHARED_WORDS, MIN_SHARED_FRACTION = 2, 0.9
# Responses repeat the prompt if both start with it in 9 of 10 rows. A prompt of one or two words can start an answer as well.
MIN_REPEATED_WORDS, MIN_REPEATED_FRACTION = 3, 0.9
NO_SHARED_PROMPT = "'chosen' and 'rejected' do not start with a shared prompt, and 'prompt' is missing"
MAX_SAMPLE_ROWS, MAX_COLUMNS, MAX_LAYOUTS = 20, 200, 3


@dataclass(slots=True)
class _Summary:
    """What the rows of a source have in common: layouts with their number of rows, columns, and rows without a layout."""

    layouts: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    unmatched: list[Mapping[str, Any]] = field(default_factory=list)
    contradictions: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: int = 0
    matched: int = 0
    transcripts: int = 0
    guesses: int = 0
    shared: int = 0
    with_labels: int = 0
    prompts: int = 0
    repeated: int = 0

    @property
    def has_shared_prompts(self) -> bool:
        """Whether texts without a prompt start with one. A source of transcripts has its prompts in the transcripts."""
        return not self.transcripts and self.shared >= MIN_SHARED_FRACTION * self.guesses

    @property
    def has_repeated_prompts(self) -> bool:
        """Whether the responses are the prompt followed by a response, rather than responses."""
        return bool(self.prompts) and self.repeated >= MIN_REPEATED_FRACTION * self.prompts

    def format_layout(self) -> str:
        counts = self.layouts.most_common(MAX_LAYOUTS)
        names = [counts[0][0]] if len(counts) == 1 else [f"{name} ({count} rows)" for name, count in counts]
        unread = f"; columns that were not read: {format_columns(self.unread)}" if self.unread else ""
        return "; ".join(names) + unread

    def list_notices(self) -> tuple[str, ...]:
        return tuple(
            f"{count:,} of {self.rows:,} rows: {chosen!r} is not above {rejected!r}, so the scores do not support the label; "
            "the label is used"
            for (chosen, rejected), count in self.contradictions.items()
        )


class _RowParser:
    """Parses rows one by one and summarizes them."""

    def __init__(self, layout: LayoutName, settings: ColumnSettings, turns: PromptTurns) -> None:
        self.layout, self.settings, self.turns = layout, settings, turns
        self.summary = _Summary()

    def parse(self, row: SourceRow | RowFailure) -> PairRow | RowFailure:
        if isinstance(row, RowFailure):
            return row
        self.summary.rows += 1
        if len(self.summary.columns) < MAX_COLUMNS and not row.cells.keys() <= self.summary.columns.keys():
            self.summary.columns.update(dict.fromkeys(row.cells))
        try:
            return self._parse_cells(row)
        except UnusableRowError as error:
            return build_failure(row, str(error))

    def _parse_cells(self, row: SourceRow) -> PairRow:
        summary = self.summary
        columns = find_row_columns(row.cells, self.settings, self.layout)
        if columns is None:
            if len(summary.unmatched) < MAX_SAMPLE_ROWS:
                summary.unmatched.append(row.cells)
            raise UnusableRowError(_describe_unmatched(row.cells, self.layout, self.settings))
        summary.matched += 1
        summary.transcripts += columns.layout == "transcript"
        is_guess = self.layout == "auto" and columns.layout == "implicit" and isinstance(row.cells[columns.first], str)
        if is_guess:
            summary.guesses += 1
            summary.shared += shares_words(row.cells, columns, MIN_SHARED_WORDS)
        if self.layout == "auto" and columns.layout in ("explicit", "responses") and columns.prompt is not None:
            texts = [row.cells[name] for name in columns.used]
            summary.prompts += 1
            summary.repeated += repeats_prompt(texts[0], texts[1:])
        parsed = parse_row(row.cells, columns, self.settings)
        if columns.layout in LABELED_BY_VALUE:
            summary.with_labels += bool(find_label_columns(row.cells, columns.first, self.settings))
        summary.layouts[parsed.layout] += 1
        if columns.layout in LABELED_BY_COLUMN:
            summary.contradictions.update(find_contradicting_scores(row.cells))
        if parsed.unread and len(summary.unread) < MAX_COLUMNS:
            summary.unread.update(dict.fromkeys(parsed.unread))
        pair = parsed.pair if self.turns == "all" else _keep_last_turn(parsed.pair)
        origin = _find_origin(row, parsed, pair, columns, find_response_models(row.cells, columns, self.settings))
        return PairRow(location=row.location, pair=pair, origin=origin, is_guess=is_guess)


def repeats_prompt(prompt: Any, responses: Sequence[Any]) -> bool:
    """Whether every response is a text that starts with the whole prompt."""
    if not isinstance(prompt, str) or len(prompt.split(maxsplit=MIN_REPEATED_WORDS)) < MIN_REPEATED_WORDS:
        return False
    return all(isinstance(text, str) and text.lstrip().startswith(prompt.strip()) for text in responses)


def _find_origin(
    row: SourceRow, parsed: ParsedPair, pair: Pair, columns: RowColumns, models: tuple[str, str] | None
) -> RowOrigin | None:
    """Where the row is from, if from a file. `models` are in the order of the row."""
    if not row.file:
        return None
    names = (columns.first, columns.second) if columns.second else ("", "")
    first = pair.get_choice(parsed.pair.response(parsed.first))
    by_choice = models if models is None or first == "a" else (models[1], models[0])
    return RowOrigin(pair_id=pair.id, file=row.file, row=row.number, first=first, columns=names, models=by_choice)


def build_dataset(
    rows: Iterable[SourceRow | RowFailure],
    origin: str,
    *,
    layout: LayoutName = "auto",
    turns: PromptTurns = "all",
    rating_column: str | None = None,
    columns: ColumnSettings = NO_COLUMN_SETTINGS,
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Parses a source's rows into pairs. With `limit`, returns a random sample, in the order of the sampling hash.

    Every row is interpreted by its own columns, so the result does not depend on the order of the rows. With `rating_column`,
    each row has one response and its rating, and each prompt gives one pair. `turns` selects whether a prompt keeps all its
    turns or only the last. `columns` has the column names and label values of a source that does not use Trimtab's. Raises
    `DataError` if there are no rows, no layout fits any of them, or none of them is usable.
    """
    if rating_column is not None:
        rows, columns = pair_rated_responses(rows, rating_column, columns), columns.without_texts()
    parser = _RowParser(layout, columns, turns)
    parsed = PairRows()
    for row in rows:
        parsed.append(parser.parse(row))
    summary = parser.summary
    if not parsed:
        raise DataError(f"{origin}: is empty; expected rows with columns such as prompt, chosen, rejected")
    unknown = _find_unknown_columns(columns, summary.columns)
    if summary.rows and (unknown or not summary.matched):
        problem = _describe_missing(layout, columns, unknown, summary.columns)
        raise build_no_layout_error(origin, list(summary.columns), problem, summary.unmatched)
    refuses_guesses = bool(summary.guesses) and not summary.has_shared_prompts
    if refuses_guesses and summary.guesses == summary.matched:
        raise build_no_layout_error(origin, list(summary.columns), NO_SHARED_PROMPT)
    if summary.has_repeated_prompts:
        raise DataError(
            f"{origin}: both responses start with the whole prompt in {summary.repeated:,} of {summary.prompts:,} rows, so a "
            "model would learn to repeat it; remove it from the responses, or keep it with `layout: explicit` (`responses` "
            "for two responses)"
        )
    distinct = parsed.select_distinct(NO_SHARED_PROMPT if refuses_guesses else "")
    if not distinct.pairs:
        raise _no_usable_rows_error(origin, distinct.failures)
    sample = sample_pairs(distinct.pairs, limit, seed)
    details = (f", by {rating_column!r}" if rating_column else "") + (", last turn only" if turns == "last" else "")
    return Dataset(
        pairs=sample,
        failures=tuple(distinct.failures),
        layout=summary.format_layout() + details,
        notices=(*summary.list_notices(), *_list_unused_settings(columns, summary)),
        origins=distinct.origins if limit is None else select_origins(distinct.origins, sample),
    )


def _list_unused_settings(settings: ColumnSettings, summary: _Summary) -> list[str]:
    """A notice if labels have a meaning, but no row has a label. A label column of null says that none is expected."""
    if not settings.label_values or summary.with_labels or settings.names.get("label", "") is None:
        return []
    return [
        "`label_values` is not used: no row has a label column next to two responses; set `columns: {label: COLUMN}`"
    ]


def select_origins(origins: Sequence[RowOrigin], pairs: Sequence[Pair]) -> Sequence[RowOrigin]:
    """The origins of these pairs, in order."""
    ids = IdIndex(pair.id for pair in pairs)
    return select_values(origins, [position for position, origin in enumerate(origins) if origin.pair_id in ids])


def _describe_unmatched(cells: Mapping[str, Any], layout: LayoutName, settings: ColumnSettings) -> str:
    """Why a row has no pair, next to rows that have one."""
    expected = list_required_columns("explicit" if layout == "auto" else layout, settings)
    missing = [name for name in expected if name not in cells]
    if len(missing) == 1 or layout != "auto":
        return f"column {', '.join(map(repr, missing))} is missing from this row"
    return f"no layout fits its columns: {format_columns(cells)}"


def _find_unknown_columns(settings: ColumnSettings, found: Collection[str]) -> list[str]:
    """The columns that the settings name and no row has."""
    return [name for name in settings.names.values() if name is not None and name not in found]


def _describe_missing(layout: LayoutName, settings: ColumnSettings, unknown: list[str], found: Collection[str]) -> str:
    if unknown:
        return f"`columns` names {format_columns(unknown)}, which no row has"
    if layout == "auto":
        return "no layout fits"
    missing = [name for name in list_required_columns(layout, settings) if name not in found]
    return f"layout {layout!r} needs the column {', '.join(map(repr, missing))}"


def concat_datasets(datasets: Sequence[Dataset], *, limit: int | None = None, seed: int = 0) -> Dataset:
    """The pairs of several datasets as one dataset, with all failures. A pair that occurs in several is kept once."""
    rows = PairRows()
    for dataset in datasets:
        for pair in dataset.pairs:
            rows.append(PairRow(location=f"pair {pair.id}", pair=pair))
    distinct = rows.select_distinct()
    layout = "; ".join(dict.fromkeys(dataset.layout for dataset in datasets))
    if not distinct.pairs:
        raise _no_usable_rows_error(layout, distinct.failures)
    earlier = [failure for dataset in datasets for failure in dataset.failures]
    sample = sample_pairs(distinct.pairs, limit, seed)
    origins = select_origins(join_sequences([dataset.origins for dataset in datasets]), sample)
    notices = tuple(dict.fromkeys(notice for dataset in datasets for notice in dataset.notices))
    return Dataset(
        pairs=sample, failures=(*earlier, *distinct.failures), layout=layout, origins=origins, notices=notices
    )


def sample_pairs(pairs: Sequence[Pair], limit: int | None, seed: int) -> Sequence[Pair]:
    """All pairs in order, or `limit` of them, selected and ordered by the hash of `seed` and pair id."""
    if limit is None:
        return pairs
    return select_values(pairs, order_by_hash((pair.id for pair in pairs), str(seed))[:limit])


def _keep_last_turn(pair: Pair) -> Pair:
    """The pair with only the last user turn of its prompt, and the tool calls and results after it."""
    preferred: dict[Choice | None, Literal["first", "second"] | None] = {"a": "first", "b": "second", None: None}
    start = max(index for index, turn in enumerate(pair.prompt) if turn.role == "user")
    return Pair.from_responses(pair.prompt[start:], pair.a, pair.b, preferred[pair.human])


def _no_usable_rows_error(origin: str, failures: Sequence[RowFailure]) -> DataError:
    most_common = Counter(failure.reason for failure in failures).most_common(3)
    reasons = "; ".join(f"{reason} ({count} rows)" for reason, count in most_common)
    return DataError(
        f"{origin}: none of the {len(failures)} rows is usable, starting with {failures[0].location}: {reasons}"
    )
