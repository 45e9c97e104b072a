"""Formats metrics as table cells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trimtab.report.metric_info import MetricInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import classify_difference
from trimtab.report.value_format import format_value
from trimtab.types import Metric

_DIRECTION_MARKS = {"above": "▲", "below": "▼", "unclear": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCell:
    """A formatted metric. For differences, `direction` is the side of zero that the interval is on, `mark` its symbol."""

    value: str
    interval: str
    sample_size: str
    mark: str = ""
    direction: str = ""


def format_metric_cell(metric: Metric, name: str) -> MetricCell:
    """The value, interval and sample size of a metric with this name."""
    info = get_metric_info(name)
    value, interval = format_value(metric, info)
    return MetricCell(value=value, interval=interval, sample_size=_format_sample_size(metric, info, info.missing_text))


def format_difference_cell(metric: Metric, name: str) -> MetricCell:
    """A paired difference with its sign, marked if the whole interval is on one side of zero."""
    info, direction = get_metric_info(name), classify_difference(metric)
    value, interval = format_value(metric, info, signed=True)
    return MetricCell(
        value=value,
        interval=interval,
        sample_size=_format_sample_size(metric, info, "left out"),
        mark=_DIRECTION_MARKS[direction],
        direction=direction,
    )


def _format_sample_size(metric: Metric, info: MetricInfo, missing_text: str) -> str:
    noun = re.sub(r"s\b", "", info.count_noun, count=1) if metric.n == 1 else info.count_noun
    return f"{metric.n:,} {noun}" + (f", {metric.n_failed:,} {missing_text}" if metric.n_failed else "")
