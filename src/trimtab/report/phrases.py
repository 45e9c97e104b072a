"""Words that sentences of a report are made of: arms as they are called, figures as they are told, and what is unsettled."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.report.metrics import MetricInfo, written
from trimtab.statistics import rows_to_settle
from trimtab.types import Metric

_SPOKEN = {
    "base": "the untuned base",
    "sft": "SFT alone",
    "human": "human labels",
    "weak": "weak labels",
    "flipped": "labels flipped at random",
    "weak_model": "the weak model itself",
}


def spoken(name: str) -> str:
    """An arm as it is called within a sentence."""
    return _SPOKEN.get(name, f"“{name}” labels")


def figures(metric: Metric, info: MetricInfo, *, signed: bool = False) -> str:
    """The value and its interval, where it has one."""
    value, interval = written(metric, info, signed=signed)
    return f"{value} {interval}".rstrip()


def rows_told(metric: Metric, info: MetricInfo, lost: str) -> str:
    """`n = 192 prompts`, and how many were `lost`."""
    unit = info.rows.removesuffix("s") if metric.n == 1 else info.rows
    return f"n = {metric.n:,} {unit}" + (f", {metric.n_failed:,} {lost}" if metric.n_failed else "")


def unsettled(difference: Metric, rows: str) -> str:
    """Why it is open which is better, and how many rows would tell if the difference is as large as it looks. The number is
    left out where it is not more than there are: lopsided intervals of a handful of rows know no better."""
    if difference.low is None:
        return "too few for an interval"
    enough = rows_to_settle(difference)
    rest = f"; about {_rounded(enough):,} would settle one of this size" if enough and enough > difference.n else ""
    return f"no difference that these {rows} could show{rest}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def small(text: str) -> str:
    """A label within a sentence."""
    return text[:1].lower() + text[1:]


def _rounded(count: int) -> int:
    """Up to two significant digits: more would claim a precision that the difference does not have."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
