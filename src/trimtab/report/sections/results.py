"""Every figure of every arm, with its difference to SFT alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.report.cells import Cell, cell, difference_cell
from trimtab.report.metrics import MetricInfo, metric_info
from trimtab.report.model import Arm, Report, arm_order
from trimtab.report.sections.answer import drawn, headline
from trimtab.report.sections.section import Contents, Section
from trimtab.report.side_effects import OF_THEIR_OWN
from trimtab.report.verdict import BASELINE, HEADLINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm of the table: its figure by metric, and its difference to SFT alone where it was compared."""

    arm: Arm
    figures: Mapping[str, Cell]
    differences: Mapping[str, Cell]


def results(contents: Contents) -> Section | None:
    """A row an arm; and drawings of what the first screen has not drawn."""
    report = contents.report
    if not report.arms:
        return None
    metrics = _metrics(report)
    figures = tuple(
        figure
        for info in metrics
        if info.name.partition(".")[0] in HEADLINES and info.name != headline(report)
        for figure in drawn(report, info.name)
    )
    return Section(
        id="results",
        title="All figures",
        tab="Results",
        values={
            "figures": figures,
            "metrics": metrics,
            "rows": _rows(report),
            "baseline": BASELINE,
            "compared": [info for info in metrics if _compared(report, info.name)],
        },
        figures=figures,
        metrics=tuple(info.name for info in metrics),
    )


def _metrics(report: Report) -> list[MetricInfo]:
    names = dict.fromkeys(name for arm in report.arms for name in arm.metrics)
    return [metric_info(name) for name in names if name not in OF_THEIR_OWN]


def _rows(report: Report) -> list[Row]:
    arms = {arm.name: arm for arm in report.arms}
    return [_row(report, arms[name]) for name in arm_order(arms)]


def _row(report: Report, arm: Arm) -> Row:
    mine = [each for each in report.comparisons if each.arm == arm.name and each.against == BASELINE]
    return Row(
        arm=arm,
        figures={name: cell(figure, name) for name, figure in arm.metrics.items()},
        differences={each.metric: difference_cell(each.difference, each.metric) for each in mine},
    )


def _compared(report: Report, metric: str) -> bool:
    return any(each.metric == metric and each.against == BASELINE for each in report.comparisons)
