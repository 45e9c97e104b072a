"""Writes the labels of raters to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.data.parsing.files import find_files
from trimtab.errors import StudyError
from trimtab.labeling.pair_votes import HumanLabel, iter_pair_rows, iter_trl_rows
from trimtab.metrics.model_preference import ResponseModels
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.workflows.row_files import write_rows

LABEL_FORMATS = ("rows", "all", "trl")
# CSV has no lists, so prompts would not be read as messages.
LABEL_SUFFIXES = (".jsonl", ".parquet")


def validate_label_file(path: Path, pool: Path, label_format: str) -> None:
    """Raises `StudyError` for an unknown format or suffix, and for a file of the pool."""
    if label_format not in LABEL_FORMATS:
        raise StudyError(f"--format: must be one of {', '.join(LABEL_FORMATS)}, got {label_format!r}")
    if path.suffix not in LABEL_SUFFIXES:
        raise StudyError(
            f"--export {path}: the suffix must be one of {', '.join(LABEL_SUFFIXES)}, got {path.suffix or 'none'}"
        )
    if path.exists() and any(path.samefile(file) for file in find_files(str(pool))):
        raise StudyError(
            f"{path}: the labels would replace the pool; choose another folder with --out, or another file"
        )


def write_labels(
    path: Path, labels: Sequence[HumanLabel], label_format: str, models: ResponseModels | None = None
) -> None:
    """Writes one row per pair.

    `rows`: pairs with a preferred response, as human-labeled pairs with all votes. `all`: also pairs without one, whose label
    is empty. `trl`: TRL's preference format. `models` are those that wrote the responses, by pair id, as in the pool.
    """
    rows = list(iter_trl_rows(labels) if label_format == "trl" else iter_pair_rows(labels, models or {}))
    if label_format == "rows":
        rows = [row for row in rows if row["label"] is not None]
    with translate_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, lambda: rows, "")
