"""Renders a run comparison as one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.duration import format_duration
from trimtab.report.metric_info import MetricInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import ArmResult
from trimtab.report.page.figures import draw_intervals
from trimtab.report.page.html import create_environment, load_stylesheet
from trimtab.report.page.sections.label_worth import WORTH_INTRO, build_worth_tables, draw_learning_curves
from trimtab.report.run_comparison.collect import ComparedRun, MetricRow, RunComparison
from trimtab.report.run_comparison.tables import build_metric_table, build_seed_table, format_metric_title
from trimtab.report.table import Table
from trimtab.report.text.verdict import build_question, build_verdict

_PLOTTED_METRICS = ("gold_reward", "proxy_reward", "accuracy", "win_rate", "pgr")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPanel:
    """A run with its question, verdict and total duration."""

    run: ComparedRun
    question: str
    verdict: str
    duration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSection:
    """A metric as a table, and as a figure (SVG) for the main metrics; `svg` is empty for the others."""

    info: MetricInfo
    title: str
    svg: str
    table: Table


def render_run_comparison_page(comparison: RunComparison) -> str:
    """The page. All text from studies is escaped."""
    template = create_environment().get_template("compare.html.j2")
    return template.render(
        panels=[_run_panel(run) for run in comparison.runs],
        notes=comparison.notes,
        seed_note=comparison.seed_note,
        seed_sections=[
            (format_metric_title(metric), build_seed_table(comparison, metric))
            for metric in comparison.seed_metric_names
        ],
        worth_intro=WORTH_INTRO,
        worth_tables=build_worth_tables(comparison.label_worths),
        worth_figures=draw_learning_curves(comparison.label_worths),
        sections=[_metric_section(comparison, metric) for metric in comparison.metric_names],
        style=load_stylesheet(),
    )


def _run_panel(run: ComparedRun) -> RunPanel:
    return RunPanel(
        run=run,
        question=build_question(run.report),
        verdict=build_verdict(run.report)[0],
        duration=format_duration(sum(stage.seconds for stage in run.report.stage_costs)),
    )


def _metric_section(comparison: RunComparison, metric: str) -> MetricSection:
    info = get_metric_info(metric)
    is_plotted = metric.partition(".")[0] in _PLOTTED_METRICS
    return MetricSection(
        info=info,
        title=format_metric_title(metric),
        svg=_interval_plot(comparison, comparison.rows_for_metric(metric), info) if is_plotted else "",
        table=build_metric_table(comparison, metric),
    )


def _interval_plot(comparison: RunComparison, rows: list[MetricRow], info: MetricInfo) -> str:
    """One line per arm and run; the first run has the color of reference rows."""
    first = comparison.runs[0].name
    lines = [
        (
            ArmResult(name=f"{row.arm} · {run.name}", role="reference" if run.name == first else "arm"),
            row.metrics_by_run[run.name],
        )
        for row in rows
        for run in comparison.runs
        if run.name in row.metrics_by_run
    ]
    return draw_intervals(lines, info, f"{info.label} by arm and run", is_difference=False)
