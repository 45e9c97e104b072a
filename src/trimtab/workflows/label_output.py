"""Writes rows of labels in the format and to the file that the user named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trimtab.data.parsing.label_files import LABEL_PREFIX
from trimtab.errors import StudyError
from trimtab.workflows.label_rows import LabeledFile
from trimtab.workflows.output_files import prepare_folder
from trimtab.workflows.row_files import write_rows

SUFFIXES: dict[str, tuple[str, ...]] = {
    "rows": (".parquet", ".jsonl", ".csv"),
    "trl": (".jsonl", ".parquet"),
    "ids": (".parquet", ".jsonl", ".csv"),
}
# The column with the detail of a label.
DETAIL_COLUMNS: dict[str, str] = {"rows": f"{LABEL_PREFIX}detail", "trl": "", "ids": "detail"}


def prepare_output(
    output: Path, pairs: str, label_format: str, training_pairs: str | None = None
) -> Callable[[LabeledFile], None]:
    """Creates the folder, and returns a function that writes labels.

    Raises `StudyError` if the format, the suffix or the path cannot be used, or if the file is one of those that are read.
    """
    if label_format not in SUFFIXES:
        raise StudyError(f"--format: must be one of {', '.join(SUFFIXES)}, got {label_format!r}")
    suffixes = SUFFIXES[label_format]
    if output.suffix not in suffixes:
        raise StudyError(
            f"--out {output}: the suffix must be one of {', '.join(suffixes)} for --format {label_format}, got "
            f"{output.suffix or 'none'}"
        )
    prepare_folder(output, {"of pairs": pairs, "of training pairs": training_pairs})

    def write(labeled: LabeledFile) -> None:
        iter_rows = {"rows": labeled.iter_rows, "trl": labeled.iter_trl_rows, "ids": labeled.iter_id_rows}[label_format]
        write_rows(output, iter_rows, DETAIL_COLUMNS[label_format])

    return write
