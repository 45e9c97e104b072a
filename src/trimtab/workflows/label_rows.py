"""Joins labels to the rows that their pairs were read from, in the order of the rows and of their two responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, tee
from typing import Any

from trimtab.data.parsing.label_files import LABEL_PREFIX, UNUSABLE
from trimtab.data.parsing.ratings import pair_rated_responses
from trimtab.data.parsing.rows import SourceRow, UnreadableValue
from trimtab.errors import StudyError
from trimtab.sources.file import File
from trimtab.storage.id_index import IdIndex
from trimtab.storage.row_groups import iter_batches
from trimtab.types import Annotation, Choice, Dataset, Preference, RowFailure, RowOrigin
from trimtab.workflows.export import build_trl_row

LabelRow = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledFile:
    """The labels of the pairs in a file. `shared` holds values that all labels have in common."""

    source: File
    dataset: Dataset
    labels: Sequence[Annotation]
    shared: Mapping[str, Any]

    def iter_rows(self) -> Iterator[LabelRow]:
        """Each input row with all its columns, followed by its label in columns that start with `trimtab_`.

        Duplicates of a row have its label. An unusable row has the reason in its note. Rows that were not sampled are left out.
        """
        failures = {(failure.file, failure.row): failure for failure in self.dataset.failures}
        index = IdIndex(label.pair_id for label in self.labels)
        origins, same_origins = tee(self.dataset.origins)
        positions = chain.from_iterable(
            index.get_all(origin.pair_id for origin in batch).tolist() for batch in iter_batches(same_origins)
        )
        for row, origin in join_origins(self._read_rows(), origins):
            file, number = get_place(row)
            label_columns: LabelRow = {"file": file, "row": number}
            if origin is not None:
                label_columns |= self._describe_label(next(positions), origin)
            elif failure := failures.get((file, number)):
                if failure.kind == "duplicate":  # of a pair that was not sampled
                    continue
                label_columns |= {"preferred": None, "probability": None, "status": UNUSABLE, "note": failure.reason}
            else:
                continue
            labeled = _read_cells(row)
            for name, value in label_columns.items():
                labeled[LABEL_PREFIX + name] = value
            yield labeled

    def iter_trl_rows(self) -> Iterator[LabelRow]:
        """One row for each labeled pair, in TRL's conversational preference format."""
        for pair, label in zip(self.dataset.pairs, self.labels, strict=True):
            preference = Preference.from_annotation(pair, label)
            if preference is not None:
                yield build_trl_row(preference, None if label.margin is None else abs(label.margin))

    def iter_id_rows(self) -> Iterator[LabelRow]:
        """One row for each pair, by pair id, without texts. `p_a` and `margin` are those of the pair's response a."""
        for pair, label in zip(self.dataset.pairs, self.labels, strict=True):
            yield {
                "id": pair.id,
                "p_a": label.p_a,
                "margin": label.margin,
                "status": label.status,
                "note": label.note,
                "prompt_hash": pair.prompt_id,
                **self._describe_cost(label),
            }

    def _describe_label(self, position: int, origin: RowOrigin) -> LabelRow:
        label = self.labels[position]
        order: tuple[Choice, Choice] = ("a", "b") if origin.first == "a" else ("b", "a")
        names, texts = origin.columns, {}
        if not all(names):
            names, pair = ("response_1", "response_2"), self.dataset.pairs[position]
            texts = {name: pair.response(choice) for name, choice in zip(names, order, strict=True)}
        by_choice = dict(zip(order, names, strict=True))
        return {
            **texts,
            "preferred": None if label.choice is None else by_choice[label.choice],
            "probability": None if label.p_a is None else max(label.p_a, 1 - label.p_a),
            "margin": None if label.margin is None else abs(label.margin),
            "status": label.status,
            "note": label.note,
            **self._describe_cost(label),
            "id": label.pair_id,
            "p_a": label.p_a,
        }

    def _describe_cost(self, label: Annotation) -> LabelRow:
        return {
            **self.shared,
            "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
            "calls": label.cost.calls,
            **({"seconds": label.cost.seconds} if label.cost.calls else {}),
            "detail": json.dumps(label.detail, ensure_ascii=False) if label.detail else "",
        }

    def _read_rows(self) -> Iterator[SourceRow | RowFailure]:
        rows = self.source.read_rows()
        if self.source.rating_column is None:
            return rows
        return pair_rated_responses(rows, self.source.rating_column, self.source.column_settings)


def _read_cells(row: SourceRow | RowFailure) -> LabelRow:
    if isinstance(row, RowFailure):
        return {}
    return {name: None if type(value) is UnreadableValue else value for name, value in row.cells.items()}


def join_origins(
    rows: Iterable[SourceRow | RowFailure], origins: Iterable[RowOrigin]
) -> Iterator[tuple[SourceRow | RowFailure, RowOrigin | None]]:
    """Yields each row with the origin of its pair, or None. The origins are in the order of the rows."""
    remaining = iter(origins)
    origin = next(remaining, None)
    for row in rows:
        if origin is not None and get_place(row) == (origin.file, origin.row):
            yield row, origin
            origin = next(remaining, None)
        else:
            yield row, None


def get_place(row: SourceRow | RowFailure) -> tuple[str, int]:
    """The file of a row and its number, counted from 1."""
    return (row.file, row.number) if isinstance(row, SourceRow) else (row.file, row.row)


def find_pool_columns(source: File) -> File:
    """The source without its label column if no row has it, as in a pool next to labeled training pairs.

    Raises `StudyError` if a row already has the columns of labels, so that none is overwritten.
    """
    label = source.columns.get("label")
    has_label = False
    for row in source.read_rows():
        if not isinstance(row, SourceRow):
            continue
        used = next((name for name in row.cells if name.startswith(LABEL_PREFIX)), None)
        if used is not None:
            raise StudyError(
                f"{row.location}: has the column {used}, so trimtab annotate wrote it; label the original file, or rename the "
                f"columns that start with {LABEL_PREFIX}"
            )
        has_label = has_label or label in row.cells
    if label is None or has_label:
        return source
    return source.model_copy(update={"columns": {**source.columns, "label": None}, "label_values": {}})
