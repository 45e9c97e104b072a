"""Writes the labels of raters to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.errors import StudyError
from trimtab.labeling.pair_votes import HumanLabel, iter_pair_rows, iter_trl_rows
from trimtab.storage.atomic import atomic_write_bytes
from trimtab.workflows.label_output import format_rows

_TABLES = (".jsonl", ".parquet", ".csv")
SUFFIXES_BY_FORMAT = {"rows": _TABLES, "all": _TABLES, "trl": (".jsonl", ".parquet")}


def write_labels(path: Path, labels: Sequence[HumanLabel], label_format: str) -> None:
    """Writes one row per pair. Raises `StudyError` for an unknown format or suffix.

    `rows`: pairs with a preferred response, as human-labeled pairs with all votes. `all`: also pairs without one, whose label
    is empty. `trl`: TRL's preference format.
    """
    if label_format not in SUFFIXES_BY_FORMAT:
        raise StudyError(f"--format: must be one of {', '.join(SUFFIXES_BY_FORMAT)}, got {label_format!r}")
    suffixes = SUFFIXES_BY_FORMAT[label_format]
    if path.suffix not in suffixes:
        raise StudyError(
            f"--export {path}: the suffix must be one of {', '.join(suffixes)} for --format {label_format}, got "
            f"{path.suffix or 'none'}"
        )
    rows = list(iter_trl_rows(labels) if label_format == "trl" else iter_pair_rows(labels))
    if label_format == "rows":
        rows = [row for row in rows if row["label"] is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, format_rows(rows, path.suffix, ""))
