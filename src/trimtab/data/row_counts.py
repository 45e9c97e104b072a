"""Counts the rows of a source that are not pairs, by kind, reason and file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from trimtab.types import Dataset, FailureKind, RowFailure

MAX_SHOWN_REASONS = 3
# The limit on the length is in the reason.
_TITLES: dict[FailureKind, str] = {
    "failed": "not usable",
    "duplicate": "equal to an earlier row",
    "overlong": "",
    "excluded": "excluded, because another source has the prompt",
}


def name_source(dataset: Dataset, default: str) -> str:
    """The name of the dataset's file; `default` if its rows come from several files, or from none."""
    files = {failure.file for failure in dataset.failures} | {origin.file for origin in dataset.origins}
    files.discard("")
    return PurePath(files.pop()).name if len(files) == 1 else default


def count_failures_by_file(datasets: Iterable[Dataset]) -> dict[str, str]:
    """`3 of 10 rows` for each file with unusable rows; empty for a single file. A name occurs once per folder."""
    datasets = list(datasets)
    failed, rows = Counter[str](), Counter[str]()
    for dataset in datasets:
        failed.update(each.file for each in dataset.failures if each.kind == "failed" and each.file)
    if not failed:
        return {}
    for dataset in datasets:
        rows.update(each.file for each in dataset.failures if each.file and each.kind != "duplicate")
        rows.update(origin.file for origin in dataset.origins)
    if len(rows) < 2:
        return {}
    return {file: f"{failed[file]:,} of {rows[file]:,} rows" for file in sorted(failed)}


def format_unusable_rows(name: str, failures: Sequence[RowFailure], by_file: Iterable[tuple[str, str]]) -> list[str]:
    """Lines for a summary: the number of rows of each kind, with the most frequent reasons, then the files concerned.

    Each reason has the location of its first row.
    """
    lines = []
    for kind, title in _TITLES.items():
        reasons = Counter(failure.reason for failure in failures if failure.kind == kind)
        if not reasons:
            continue
        first = {failure.reason: failure.location for failure in reversed(failures)}
        most_common = reasons.most_common(MAX_SHOWN_REASONS)
        shown = "; ".join(f"{reason} ({_format_rows(count, first[reason])})" for reason, count in most_common)
        rest = len(reasons) - MAX_SHOWN_REASONS
        detail = f": {shown}{f'; {rest:,} more reasons' if rest > 0 else ''}" if kind == "failed" else ""
        subject = f"1 row of {name} is" if reasons.total() == 1 else f"{reasons.total():,} rows of {name} are"
        lines.append(f"{subject} {title or next(iter(reasons)).split(' (', 1)[0]}{detail}")
    return lines + [f"  {PurePath(file).name}: {count} are not usable" for file, count in by_file]


def _format_rows(count: int, first: str) -> str:
    return first if count == 1 else f"{count:,}, first: {first}"
