"""Semantic similarity of responses."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.config.names import PREFERRED_RESPONSES, SFT_ROW
from trimtab.report.formatting import format_metric_cell
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow


def build_similarities_section(contents: PageContents) -> Section | None:
    """A row per arm: similarity to the preferred responses, and to every other arm's responses."""
    report = contents.report
    if not report.similarities:
        return None
    arms = sort_arm_names(info.arm for info in report.similarities)
    return Section(
        id="similarities",
        title="Response similarity",
        tab="Students",
        tables=(_build_table(report, [PREFERRED_RESPONSES, *arms]),),
        metrics=("cosine",),
    )


def build_similarity_tables(report: Report) -> tuple[Table, ...]:
    """For the terminal: similarity to the preferred responses, SFT and human labels only. SFT of each arm is left out."""
    compared = {name for info in report.similarities for name in (info.arm, info.compared_to)}
    columns = [name for name in (PREFERRED_RESPONSES, SFT_ROW, "human") if name in compared]
    return (_build_table(report, columns),) if report.similarities else ()


def _build_table(report: Report, compared_to: Sequence[str]) -> Table:
    cosines = {
        pair: info.cosine
        for info in report.similarities
        for pair in ((info.arm, info.compared_to), (info.compared_to, info.arm))
    }
    rows = [
        TableRow(
            name=arm,
            cells=tuple(
                format_metric_cell(cosines[arm, other], "cosine") if (arm, other) in cosines else None
                for other in compared_to
            ),
        )
        for arm in sort_arm_names(info.arm for info in report.similarities)
    ]
    return Table(
        title="Response similarity (cosine)",
        row_title="Responses of",
        columns=tuple(Column(title=f"to {name}") for name in compared_to),
        rows=tuple(rows),
    )
