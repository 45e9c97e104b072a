"""Formats the value and the interval of a metric."""

from __future__ import annotations

import math

from trimtab.report.metric_info import MetricInfo
from trimtab.types import Metric


def format_value(metric: Metric, info: MetricInfo, *, signed: bool = False) -> tuple[str, str]:
    """The value and the interval, such as `0.612` and `[0.580, 0.641]`.

    The value is an en dash if n is 0, and `undefined` if n is positive. The interval is empty if there is none. Large values
    have fewer decimals. A nonzero bound has enough decimals, up to six, not to be displayed as zero.
    """
    digits = _count_decimals(metric, info)
    missing = "undefined" if metric.n else "–"
    value = missing if metric.value is None else format_number(metric.value, digits, signed)
    if metric.low is None or metric.high is None:
        return value, ""
    return value, f"[{format_number(metric.low, digits)}, {format_number(metric.high, digits)}]"


def _count_decimals(metric: Metric, info: MetricInfo) -> int:
    magnitudes = [abs(number) for number in (metric.value, metric.low, metric.high) if number is not None]
    largest = max(magnitudes, default=0.0)
    digits = max(0, info.digits - max(0, math.floor(math.log10(largest)))) if largest else info.digits
    smallest_bound = min([abs(bound) for bound in (metric.low, metric.high) if bound], default=1.0)
    return min(6, max(digits, math.ceil(-math.log10(2 * smallest_bound)))) if smallest_bound < 1 else digits


def format_number(value: float, digits: int = 3, signed: bool = False) -> str:
    """With a minus sign, not a hyphen; numbers that round to zero have no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    if value < 0:
        return f"−{text}"
    return f"+{text}" if signed else text
