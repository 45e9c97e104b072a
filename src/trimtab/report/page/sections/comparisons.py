"""The main pairwise comparisons of a study, each with an exact test."""

from __future__ import annotations

from trimtab.report.collect.comparisons import format_p_value, select_main_comparisons
from trimtab.report.formatting import format_difference_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow

_INTRO = (
    "▲ ▼ the whole 95% interval of the paired difference is above or below zero. Wins and losses count prompts or "
    "pairs. The exact test swaps the arms within each prompt; for one 0/1 value per prompt and arm it is McNemar's test. If "
    "p > 0.05, the interval contains zero."
)


def build_comparisons_section(contents: PageContents) -> Section | None:
    tables = build_comparison_tables(contents.report)
    if not tables:
        return None
    return Section(
        id="comparisons",
        title="Pairwise comparisons",
        tab="Results",
        intro=_INTRO,
        tables=tables,
        metrics=tuple(dict.fromkeys(each.metric for each in select_main_comparisons(contents.report))),
    )


def build_comparison_tables(report: Report) -> tuple[Table, ...]:
    """One table per metric: the paired difference, the number of wins and losses, and the exact p-value."""
    comparisons = select_main_comparisons(report)
    return tuple(
        Table(
            title=f"Pairwise comparisons: {get_metric_info(metric).label}",
            row_title="Arm",
            columns=(
                Column(title="Paired difference"),
                Column(title="Wins / losses"),
                Column(title="p (exact)"),
            ),
            rows=tuple(
                TableRow(
                    name=each.arm,
                    note=f"minus {each.baseline}",
                    cells=(
                        format_difference_cell(each.difference, metric),
                        f"{each.wins:,} / {each.losses:,}",
                        format_p_value(each.p_value),
                    ),
                )
                for each in comparisons
                if each.metric == metric
            ),
        )
        for metric in dict.fromkeys(each.metric for each in comparisons)
    )
