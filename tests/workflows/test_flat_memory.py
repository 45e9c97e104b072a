"""Labels of many rows are written without holding the rows, and have the types of a file that is written at once."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.core.runtime import Runtime
from trimtab.pipeline.stages import annotate
from trimtab.storage import disk_sequence, row_groups
from trimtab.workflows.annotate_file import annotate_file
from trimtab.workflows.row_files import write_rows

TEXT_LENGTH = 2000
# Less than the texts of a pair. It covers positions of the pair in several arrays, and the metadata of small row groups.
MAX_BYTES_PER_PAIR = 1000


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is read at a time is small."""
    monkeypatch.setattr(row_groups, "ROWS_PER_GROUP", 64)
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", 16)
    monkeypatch.setattr(annotate, "PAIRS_PER_BATCH", 16)
    monkeypatch.setattr(disk_sequence, "MAX_MEMORY", 1)


def write_pairs(path: Path, count: int) -> Path:
    row = {"response_a": "a" * TEXT_LENGTH, "response_b": "b" * (TEXT_LENGTH + 1), "label": "b"}
    path.write_text("".join(json.dumps({"prompt": f"Say {number}."} | row) + "\n" for number in range(count)))
    return path


def measure_peak(pairs: Path, output: Path, label_format: str, runtime: Runtime) -> int:
    """The largest memory of Python objects during `trimtab annotate`, in bytes."""
    tracemalloc.start()
    try:
        annotate_file(pairs, "length", (), None, output, runtime, label_format=label_format)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("label_format", "suffix"), [("rows", ".parquet"), ("trl", ".jsonl"), ("ids", ".csv")])
@pytest.mark.usefixtures("small_batches")
def test_the_texts_of_pairs_are_not_held_in_memory(
    tmp_path: Path, runtime: Runtime, label_format: str, suffix: str
) -> None:
    few, many = 200, 800
    files = {count: write_pairs(tmp_path / f"{count}.jsonl", count) for count in (few, many)}
    output = tmp_path / f"labels{suffix}"
    measure_peak(files[few], output, label_format, runtime)  # imports
    peaks = {count: measure_peak(file, output, label_format, runtime) for count, file in files.items()}
    assert (peaks[many] - peaks[few]) / (many - few) < MAX_BYTES_PER_PAIR


def write(path: Path, *values: Any) -> pa.Table:
    rows: list[Mapping[str, Any]] = [{} if value == "missing" else {"x": value} for value in values]
    write_rows(path, lambda: [dict(row) for row in rows], "")
    return pq.read_table(path)


@pytest.mark.parametrize(
    "values",
    [
        (None, 1),
        (1, 2.5),
        (2.5, 1),
        (1, "one"),
        ("one", 1),
        (1, True),
        ("missing", "one"),
        ({"a": 1}, {"b": "two"}),
        ([], ["one"]),
        ([1], "one", None),
        ({}, {}),
        (2**70, 1),
        (1, 2**70, "one", None),
        (2**60, 0.5),
    ],
    ids=str,
)
def test_types_do_not_depend_on_the_size_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: tuple[Any, ...]
) -> None:
    at_once = write(tmp_path / "one.parquet", *values)
    monkeypatch.setattr(row_groups, "ROWS_PER_GROUP", 2)
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", 1)
    in_groups = write(tmp_path / "many.parquet", *values)
    assert pq.ParquetFile(tmp_path / "many.parquet").num_row_groups == (len(values) + 1) // 2
    assert in_groups.schema.equals(at_once.schema, check_metadata=True)
    assert in_groups.to_pylist() == at_once.to_pylist()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_without_rows_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    write_rows(path, list, "")
    assert path.is_file()
