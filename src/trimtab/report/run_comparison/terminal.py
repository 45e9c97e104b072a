"""Studies side by side in a terminal: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.metric_registry import format_value, get_metric_info
from trimtab.report.model import classify_difference, sort_arm_names
from trimtab.report.run_comparison.collect import ComparedRun, MetricRow, RunComparison
from trimtab.report.run_comparison.seeds import DEFAULT_BASELINES, SeedAggregate, list_baselines
from trimtab.report.terminal.tables import DIRECTION_MARKS, create_metric_table
from trimtab.report.text.verdict import build_question, build_verdict
from trimtab.types import Metric

# Figures of a study that fit a line beside the arm's name.
_RUNS_PER_TABLE = 2


def render_run_comparison_tables(found: RunComparison) -> Group:
    """The studies with their answers, what must be known of them, and a table a metric."""
    parts: list[RenderableType] = []
    for side in found.runs:
        parts += [
            Text(side.name, style="bold"),
            Text(build_question(side.report), style="dim"),
            Text(build_verdict(side.report)[0]),
        ]
    parts += [Text(f"Note: {note}", style="yellow") for note in found.notes]
    parts += [Text(found.seed_note, style="dim")] if found.seed_aggregates else []
    for metric in dict.fromkeys(each.metric for each in found.seed_aggregates):
        title = f"{get_metric_info(metric).label}, over {len(found.runs)} seeds"
        parts += [Text(), Text(title, style="bold"), *_seed_table(found, metric)]
    for metric in found.metric_names:
        parts += [Text(), *_metric_tables(found, metric)]
    first = found.runs[0].name
    legend = f"▲ ▼  the whole 95 % interval of the paired difference to {first} lies above or below zero"
    return Group(*parts, Text(legend, style="dim"))


def _seed_table(found: RunComparison, metric: str) -> list[RenderableType]:
    """Means over seeds, the spread between them, and the lead over one row: `weak`, or else the first that there is. Leads
    over other rows that the study asks for have a line each."""
    entries = {each.arm: each for each in found.seed_aggregates if each.metric == metric}
    led = list_baselines(entries.values())
    against = "weak" if "weak" in led else next(iter(led), "")
    table = create_metric_table("arm", ["mean", "between seeds", f"minus {against}"])
    for arm in sort_arm_names(entries):
        entry = entries[arm]
        lead = entry.differences.get(against)
        table.add_row(
            Text(arm, style="bold"),
            _metric_text(entry.mean, metric),
            Text(format_value(entry.std, get_metric_info(metric))[0]),
            Text("")
            if lead is None
            else Text.assemble(_metric_text(lead, metric, signed=True), f" {_difference_mark(lead)}".rstrip()),
        )
    others = [other for other in led if other != against and other not in DEFAULT_BASELINES]
    return [table, *_extra_differences([entries[arm] for arm in sort_arm_names(entries)], others, metric)]


def _extra_differences(entries: Sequence[SeedAggregate], others: Sequence[str], metric: str) -> list[Text]:
    return [
        Text.assemble(
            f"{entry.arm} minus {other}: ",
            _metric_text(entry.differences[other], metric, signed=True),
            f" {_difference_mark(entry.differences[other])}".rstrip(),
        )
        for entry in entries
        for other in others
        if other in entry.differences
    ]


def _metric_text(metric: Metric, name: str, *, signed: bool = False) -> Text:
    value, interval = format_value(metric, get_metric_info(name), signed=signed)
    return Text.assemble(value, " ", (interval, "dim"))


def _metric_tables(found: RunComparison, metric: str) -> list[Table]:
    first, *others = found.runs
    parts = [others[start : start + _RUNS_PER_TABLE - 1] for start in range(0, len(others), _RUNS_PER_TABLE - 1)]
    return [_metric_table(found.rows_for_metric(metric), metric, (first, *part)) for part in parts]


def _metric_table(entries: Sequence[MetricRow], metric: str, sides: Sequence[ComparedRun]) -> Table:
    info = get_metric_info(metric)
    table = create_metric_table(f"{info.label}{f', {info.unit}' if info.unit else ''}", [side.name for side in sides])
    for entry in entries:
        figures = [_run_cell(entry, side.name) for side in sides]
        table.add_row(Text(entry.arm, style="bold"), *figures)
    return table


def _run_cell(entry: MetricRow, study: str) -> Text:
    if study not in entry.metrics_by_run:
        return Text("–")
    mark = _difference_mark(entry.differences.get(study))
    return Text.assemble(_metric_text(entry.metrics_by_run[study], entry.metric), f" {mark}".rstrip())


def _difference_mark(difference: Metric | None) -> str:
    return "" if difference is None else DIRECTION_MARKS[classify_difference(difference)].strip()
