"""Label files: every format gives the same labels, and an invalid row is reported with its location."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.core.runtime import Runtime
from trimtab.data.parsing.label_files import read_labels
from trimtab.errors import DataError
from trimtab.workflows.annotate_file import annotate_file

PAIRS = """
{"prompt": "Why?", "chosen": "Because it is so.", "rejected": "No."}
{"prompt": "Who?", "chosen": "I.", "rejected": "You."}
"""


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_labels_round_trip(tmp_path: Path, runtime: Runtime, suffix: str) -> None:
    pairs, path = tmp_path / "pairs.jsonl", tmp_path / f"labels.{suffix}"
    pairs.write_text(PAIRS, encoding="utf-8")
    annotate_file(pairs, "random", ["seed=3"], None, path, runtime)
    labels = read_labels(str(path))
    assert {label.status for label in labels.values()} == {"ok"}
    annotate_file(pairs, "random", ["seed=3"], None, tmp_path / "again.jsonl", runtime)
    assert labels == read_labels(str(tmp_path / "again.jsonl"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"prompt": "x", "chosen": "y"}',
            r"l\.jsonl:2: not a label: no column id, p_a, status \(found: prompt, chosen\)",
        ),
        ('{"id": "x", "p_a": 1.5, "status": "ok"}', r"l\.jsonl:2: .*p_a must be in \[0, 1\], got 1\.5"),
        ('{"id": "x", "p_a": NaN, "status": "ok"}', r"l\.jsonl:2: p_a must be a finite number, got 'nan'"),
        ('{"id": "x", "p_a": "much", "status": "ok"}', r"l\.jsonl:2: p_a must be a finite number, got 'much'"),
        ('{"id": "x", "p_a": null, "status": "ok"}', r"l\.jsonl:2: .*status 'ok' with p_a=None"),
        ('{"id": "x", "p_a": 0.5, "status": "fine"}', r"l\.jsonl:2: status must be one of ok, abstained, failed"),
        ('{"id": "w", "p_a": 0.5, "status": "ok"}', r"l\.jsonl:2: pair w is labeled twice"),
        ("{", r"l\.jsonl:2: invalid JSON"),
    ],
)
def test_an_invalid_label_is_rejected_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "l.jsonl").write_text(f'{{"id": "w", "p_a": 0.9, "status": "ok"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_labels(str(tmp_path / "l.jsonl"))


def test_a_file_without_labels_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="contains no labels"):
        read_labels(str(tmp_path / "l.jsonl"))
