"""Figures as the page's tables show them."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.metrics import MetricInfo, metric_info, written
from trimtab.report.model import differs
from trimtab.types import Metric

_MARKS = {"above": "▲", "below": "▼", "unclear": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure as the page shows it. `side` is where its interval lies, for differences; `mark` draws it."""

    value: str
    interval: str
    rows: str
    mark: str = ""
    side: str = ""


def cell(metric: Metric, name: str) -> Cell:
    """The figure of the metric of this name, with its interval and the rows it rests on."""
    info = metric_info(name)
    value, interval = written(metric, info)
    return Cell(value=value, interval=interval, rows=_count(metric, info, info.lost))


def difference_cell(metric: Metric, name: str) -> Cell:
    """A paired difference: with its sign, and a mark where its whole interval lies on one side of zero."""
    info, side = metric_info(name), differs(metric)
    value, interval = written(metric, info, signed=True)
    return Cell(value=value, interval=interval, rows=_count(metric, info, "left out"), mark=_MARKS[side], side=side)


def _count(metric: Metric, info: MetricInfo, lost: str) -> str:
    return f"{metric.n:,} {info.rows}" + (f", {metric.n_failed:,} {lost}" if metric.n_failed else "")
