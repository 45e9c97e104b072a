"""The report in a terminal, as rich renderables that fit 80 columns."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.duration import format_duration
from trimtab.report.model import Report
from trimtab.report.page.sections import TERMINAL_TABLES
from trimtab.report.table import render_terminal_table
from trimtab.report.text.verdict import build_verdict


def render_report_summary(report: Report) -> Group:
    """The verdict, the notes, the tables, the data and the cost."""
    report = relabel_trained_rewards(report)
    parts: list[RenderableType] = [
        Text(report.study.name, style="bold"),
        Text(" ".join(build_verdict(report))),
        *(Text(f"Note: {note}", style="yellow") for note in report.notes),
    ]
    for build_tables in TERMINAL_TABLES:
        for table in build_tables(report):
            parts += [Text(), render_terminal_table(table)]
    return Group(*parts, Text(), format_splits(report), format_costs(report))


def format_splits(report: Report) -> Text:
    """One line per split."""
    lines = [
        f"{split.name}: {split.pairs:,} pairs of {split.prompts:,} prompts"
        + (f", {split.failures:,} rows failed" if split.failures else "")
        + (f" ({split.note})" if split.note else "")
        for split in report.data
    ]
    return Text("\n".join(lines))


def format_costs(report: Report) -> Text:
    """One line: the total time of all stages (workers overlap), time saved by cached stages, and tokens."""
    if not report.stage_costs:
        return Text()
    cached = [stage for stage in report.stage_costs if stage.from_cache]
    duration = format_duration(sum(stage.seconds for stage in report.stage_costs))
    parts = [f"{len(report.stage_costs)} stages, {duration} of stage time"]
    if cached:
        parts.append(f"{len(cached)} cached ({format_duration(sum(stage.seconds for stage in cached))} saved)")
    parts.append(f"{sum(stage.tokens for stage in report.stage_costs):,} tokens")
    return Text(", ".join(parts))
