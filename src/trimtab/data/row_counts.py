"""Counts the rows of a source that are not pairs, by kind, reason and file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from trimtab.types import Dataset, FailureKind, RowFailure

MAX_SHOWN_REASONS = 3
_TITLES: dict[FailureKind, str] = {
    "failed": "not usable",
    "duplicate": "equal to an earlier row",
    "overlong": "too long",
    "excluded": "excluded, because another source has the prompt",
}


def count_failures_by_file(datasets: Iterable[Dataset]) -> dict[str, str]:
    """`3 of 10 rows` for each file with unusable rows; empty for a single file. A name occurs once per folder."""
    failed, rows = Counter[str](), Counter[str]()
    for dataset in datasets:
        failed.update(each.file for each in dataset.failures if each.kind == "failed" and each.file)
        rows.update(each.file for each in dataset.failures if each.file and each.kind != "duplicate")
        rows.update(origin.file for origin in dataset.origins)
    if len(rows) < 2:
        return {}
    return {file: f"{failed[file]:,} of {rows[file]:,} rows" for file in sorted(failed)}


def format_unusable_rows(name: str, failures: Sequence[RowFailure], by_file: Iterable[tuple[str, str]]) -> list[str]:
    """Lines for a summary: the number of rows of each kind, with the most frequent reasons, then the files concerned."""
    lines = []
    for kind, title in _TITLES.items():
        reasons = Counter(failure.reason for failure in failures if failure.kind == kind)
        if not reasons:
            continue
        shown = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(MAX_SHOWN_REASONS))
        rest = len(reasons) - MAX_SHOWN_REASONS
        detail = f": {shown}{f'; {rest:,} more reasons' if rest > 0 else ''}" if kind == "failed" else ""
        subject = f"1 row of {name} is" if reasons.total() == 1 else f"{reasons.total():,} rows of {name} are"
        lines.append(f"{subject} {title}{detail}")
    return lines + [f"  {PurePath(file).name}: {count} are not usable" for file, count in by_file]
