"""Renders a run comparison in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.report.page.sections.label_worth import build_worth_tables
from trimtab.report.run_comparison.collect import RunComparison
from trimtab.report.run_comparison.tables import build_metric_table, build_seed_table
from trimtab.report.table import render_terminal_table
from trimtab.report.text.verdict import build_question, build_verdict


def render_run_comparison_tables(comparison: RunComparison) -> Group:
    """The verdict of each run, notes, tables over seeds, and a table per metric."""
    parts: list[RenderableType] = []
    for run in comparison.runs:
        parts += [
            Text(run.name, style="bold"),
            Text(build_question(run.report), style="dim"),
            Text(build_verdict(run.report)[0]),
        ]
    parts += [Text(f"Note: {note}", style="yellow") for note in comparison.notes]
    parts += [Text(comparison.seed_note, style="dim")] if comparison.seed_note else []
    for metric in comparison.seed_metric_names:
        parts += [Text(), render_terminal_table(build_seed_table(comparison, metric))]
    for table in build_worth_tables(comparison.label_worths):
        parts += [Text(), render_terminal_table(table)]
    for metric in comparison.metric_names:
        parts += [Text(), render_terminal_table(build_metric_table(comparison, metric))]
    legend = "▲ ▼  the whole 95% interval of the paired difference is above or below zero"
    return Group(*parts, Text(legend, style="dim"))
