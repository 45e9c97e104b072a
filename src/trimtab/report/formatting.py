"""Figures as the page's tables show them."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.metric_registry import MetricInfo, format_value, get_metric_info
from trimtab.report.model import classify_difference
from trimtab.types import Metric

_DIRECTION_MARKS = {"above": "▲", "below": "▼", "unclear": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCell:
    """One figure as the page shows it. `side` is where its interval lies, for differences; `mark` draws it."""

    value: str
    interval: str
    sample_size: str
    mark: str = ""
    direction: str = ""


def format_metric_cell(metric: Metric, name: str) -> MetricCell:
    """The figure of the metric of this name, with its interval and the rows it rests on."""
    info = get_metric_info(name)
    value, interval = format_value(metric, info)
    return MetricCell(value=value, interval=interval, sample_size=_format_sample_size(metric, info, info.missing_text))


def format_difference_cell(metric: Metric, name: str) -> MetricCell:
    """A paired difference: with its sign, and a mark where its whole interval lies on one side of zero."""
    info, side = get_metric_info(name), classify_difference(metric)
    value, interval = format_value(metric, info, signed=True)
    return MetricCell(
        value=value,
        interval=interval,
        sample_size=_format_sample_size(metric, info, "left out"),
        mark=_DIRECTION_MARKS[side],
        direction=side,
    )


def _format_sample_size(metric: Metric, info: MetricInfo, lost: str) -> str:
    return f"{metric.n:,} {info.count_noun}" + (f", {metric.n_failed:,} {lost}" if metric.n_failed else "")
