"""Every figure of every arm, with its difference to SFT alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY
from trimtab.report.formatting import MetricCell, format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import MetricInfo, get_metric_info
from trimtab.report.model import Arm, Report, sort_arm_names
from trimtab.report.page.sections.headline import draw_metric_figures, select_drawn_metric
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.text.verdict import BASELINE, HEADLINE_METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One arm of the table: its figure by metric, and its difference to SFT alone where it was compared."""

    arm: Arm
    values: Mapping[str, MetricCell]
    differences: Mapping[str, MetricCell]


def build_results_section(contents: PageContents) -> Section | None:
    """A row an arm; and drawings of what the first screen has not drawn."""
    report = contents.report
    if not report.arms:
        return None
    metrics = _list_metrics(report)
    figures = tuple(
        figure
        for info in metrics
        if info.name.partition(".")[0] in HEADLINE_METRICS and info.name != select_drawn_metric(report)
        for figure in draw_metric_figures(report, info.name)
    )
    return Section(
        id="results",
        title="All figures",
        tab="Results",
        values={
            "figures": figures,
            "metrics": metrics,
            "rows": _build_rows(report),
            "baseline": BASELINE,
            "compared": [info for info in metrics if _has_baseline_comparison(report, info.name)],
        },
        figures=figures,
        metrics=tuple(info.name for info in metrics),
    )


def _list_metrics(report: Report) -> list[MetricInfo]:
    names = dict.fromkeys(name for arm in report.arms for name in arm.metrics)
    return [get_metric_info(name) for name in names if name not in SIDE_EFFECT_ONLY]


def _build_rows(report: Report) -> list[ResultRow]:
    arms = {arm.name: arm for arm in report.arms}
    return [_build_row(report, arms[name]) for name in sort_arm_names(arms)]


def _build_row(report: Report, arm: Arm) -> ResultRow:
    mine = [each for each in report.comparisons if each.arm == arm.name and each.baseline == BASELINE]
    return ResultRow(
        arm=arm,
        values={name: format_metric_cell(figure, name) for name, figure in arm.metrics.items()},
        differences={each.metric: format_difference_cell(each.difference, each.metric) for each in mine},
    )


def _has_baseline_comparison(report: Report, metric: str) -> bool:
    return any(each.metric == metric and each.baseline == BASELINE for each in report.comparisons)
