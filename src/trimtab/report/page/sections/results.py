"""All metrics of all arms, with their paired differences to the rows that they started from."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY
from trimtab.report.formatting import format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import ArmResult, Report, sort_arm_names
from trimtab.report.page.sections.headline import draw_metric_figures, select_figure_metric
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableCell, TableRow
from trimtab.report.text.verdict import HEADLINE_METRICS

DIFFERENCE_LEGEND = "▲ ▼ the whole 95% interval of the paired difference is above or below zero."


def build_results_section(contents: PageContents) -> Section | None:
    """The table, and figures of the main metrics that are not on the first screen."""
    report = contents.report
    if not report.arms:
        return None
    metrics = _list_metrics(report)
    figures = tuple(
        figure
        for name in metrics
        if name.partition(".")[0] in HEADLINE_METRICS and name != select_figure_metric(report)
        for figure in draw_metric_figures(report, name)
    )
    return Section(
        id="results",
        title="All metrics",
        tab="Results",
        tables=build_results_tables(report),
        figures=figures,
        template="results",
        metrics=tuple(metrics),
    )


def build_results_tables(report: Report) -> tuple[Table, ...]:
    """All metrics except side effects."""
    return build_metric_tables(report, "Results", _list_metrics(report), [arm.name for arm in report.arms])


def build_metric_tables(report: Report, title: str, metrics: Sequence[str], arms: Sequence[str]) -> tuple[Table, ...]:
    """A table with a row per arm and a column per metric, followed by its paired difference if there is one."""
    by_name = {arm.name: arm for arm in report.arms}
    baselines = {metric: report.describe_baselines(metric) for metric in metrics}
    compared = {metric for metric, baseline in baselines.items() if baseline}
    columns = []
    for metric in metrics:
        info = get_metric_info(metric)
        columns.append(Column(title=f"{info.label}, {info.unit}" if info.unit else info.label))
        if metric in compared:
            columns.append(Column(title=f"minus {baselines[metric]}, paired", keep_with_previous=True))
    rows = tuple(_build_row(report, by_name[name], metrics, compared) for name in sort_arm_names(arms))
    legend = DIFFERENCE_LEGEND if compared else ""
    return (Table(title=title, row_title="Arm", columns=tuple(columns), rows=rows, legend=legend),) if rows else ()


def _list_metrics(report: Report) -> list[str]:
    """Those that a verdict can be based on come first."""
    names = dict.fromkeys(name for arm in report.arms for name in arm.metrics if name not in SIDE_EFFECT_ONLY)
    return sorted(names, key=lambda name: name.partition(".")[0] not in HEADLINE_METRICS)


def _build_row(report: Report, arm: ArmResult, metrics: Sequence[str], compared: set[str]) -> TableRow:
    is_reference = arm.role == "reference"
    pending = f"not finished: {', '.join(arm.pending)}" if arm.pending else ""
    if arm.skipped:
        message = f"no student: {arm.skipped}"
        return TableRow(name=arm.name, message=message, description=arm.description, is_reference=is_reference)
    if pending and not arm.metrics:
        return TableRow(name=arm.name, message=pending, description=arm.description, is_reference=is_reference)
    cells: list[TableCell] = []
    for metric in metrics:
        cells.append(format_metric_cell(arm.metrics[metric], metric) if metric in arm.metrics else None)
        if metric in compared:
            difference = report.get_baseline_difference(arm.name, metric)
            cells.append(format_difference_cell(difference, metric) if difference is not None else None)
    return TableRow(
        name=arm.name, cells=tuple(cells), note=pending, description=arm.description, is_reference=is_reference
    )
