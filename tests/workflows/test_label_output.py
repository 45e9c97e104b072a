"""Labels are written whatever the other columns of the rows hold, and never over the files that they were read from."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from trimtab.core.runtime import Runtime
from trimtab.data.parsing.label_files import read_labels
from trimtab.errors import StudyError
from trimtab.sources.file import File
from trimtab.workflows.annotate_file import annotate_file
from trimtab.workflows.annotate_pairs import TrainingPairs

SUFFIXES = (".parquet", ".jsonl", ".csv")


def write_rows(path: Path, *others: dict[str, Any]) -> Path:
    """One labeled pair for each mapping of other columns."""
    texts = [
        {"prompt": f"Say {n}.", "response_a": f"{n}, gladly", "response_b": "no", "label": "a"}
        for n in range(len(others))
    ]
    path.write_text("".join(json.dumps(row | more) + "\n" for row, more in zip(texts, others, strict=True)))
    return path


def read_column(path: Path, name: str) -> list[Any]:
    if path.suffix == ".parquet":
        return pq.read_table(path).column(name).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line)[name] for line in path.read_text().splitlines()]
    with path.open(newline="") as stream:
        return [row[name] for row in csv.DictReader(stream)]


def nest(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "others",
    [
        ({"x": "\ud83d"}, {"x": "é"}),
        ({"x": {}}, {"x": {}}),
        ({"x": {"y": [{}]}}, {"x": None}),
        ({"x": nest(600)}, {"x": 1}),
        ({"x": 2**70}, {"x": "1"}),
    ],
    ids=["half a character", "empty objects", "an empty object inside", "deep lists", "a number and a text"],
)
def test_rows_with_any_other_columns_are_written(
    runtime: Runtime, tmp_path: Path, others: tuple[dict[str, Any], ...], suffix: str
) -> None:
    pairs, output = write_rows(tmp_path / "pairs.jsonl", *others), tmp_path / f"labels{suffix}"
    annotate_file(pairs, "length", (), None, output, runtime)
    assert read_column(output, "trimtab_preferred") == ["response_a", "response_a"]
    assert len(read_labels(str(output))) == 2
    if suffix == ".jsonl":
        assert read_column(output, "x") == [other["x"] for other in others]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_of_another_encoding_are_written_as_escapes(runtime: Runtime, tmp_path: Path, suffix: str) -> None:
    pairs, output = tmp_path / "pairs.csv", tmp_path / f"labels{suffix}"
    pairs.write_bytes("prompt,chosen,rejected,town\nSay one.,one,no,Kraków\nSay two.,two,no,Orléans\n".encode("cp1250"))
    annotate_file(pairs, "length", (), None, output, runtime)
    shown = ["Krak\udcf3w", "Orl\udce9ans"] if suffix == ".jsonl" else ["Krak\\udcf3w", "Orl\\udce9ans"]
    assert read_column(output, "town") == shown
    assert read_column(output, "trimtab_preferred") == ["chosen", "chosen"]


def test_the_output_replaces_no_file_that_is_read(runtime: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    one = write_rows(folder / "one.jsonl", {}, {})
    two = write_rows(folder / "two.jsonl", {}, {}, {})
    before = one.read_text(), two.read_text()
    link = tmp_path / "link.jsonl"
    link.symlink_to(two)
    for pairs, output, message in (
        (folder, two, "it is in the folder of pairs"),
        (folder, folder / "labels.jsonl", "it is in the folder of pairs"),
        (folder / "*.jsonl", two, "this is a file of pairs"),
        (folder, link, "it is in the folder of pairs"),
        (one, one, "this is a file of pairs"),
    ):
        with pytest.raises(StudyError, match=message):
            annotate_file(pairs, "length", (), None, output, runtime)
    training = TrainingPairs(File(path=str(two)))
    with pytest.raises(StudyError, match="this is a file of training pairs"):
        annotate_file(one, "probe", (), None, two, runtime, training)
    assert (one.read_text(), two.read_text()) == before


def test_a_label_column_is_read_if_any_row_has_it(runtime: Runtime, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "Say one.", "response_a": "one, gladly", "response_b": "no"},
        {"prompt": "Say two.", "response_a": "two, gladly", "response_b": "no", "better": "1"},
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"columns": {"label": "better"}, "label_values": {"1": "a", "2": "b"}}
    summary = annotate_file(pairs, "length", (), None, tmp_path / "x.csv", runtime, data_settings=settings)
    assert "is missing from this row" in summary
    assert "agreement with human labels: 1.00" in summary


def test_a_late_column_of_labels_is_not_overwritten(runtime: Runtime, tmp_path: Path) -> None:
    pairs = write_rows(tmp_path / "pairs.jsonl", {}, {"trimtab_preferred": "response_b"})
    with pytest.raises(StudyError, match=r"pairs\.jsonl:2: has the column trimtab_preferred"):
        annotate_file(pairs, "length", (), None, tmp_path / "labels.csv", runtime)
