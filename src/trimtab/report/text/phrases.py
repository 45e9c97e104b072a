"""Words that sentences of a report are made of: arms as they are called, figures as they are told, and what is unsettled."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.report.metric_registry import MetricInfo, format_value
from trimtab.stats import required_sample_size
from trimtab.types import Metric

_ARM_NAMES = {
    "base": "the untuned base",
    "sft": "SFT alone",
    "human": "human labels",
    "weak": "weak labels",
    "flipped": "labels flipped at random",
    "weak_model": "the weak model itself",
}


def format_arm_name(name: str) -> str:
    """An arm as it is called within a sentence."""
    return _ARM_NAMES.get(name, f"“{name}” labels")


def format_with_interval(metric: Metric, info: MetricInfo, *, signed: bool = False) -> str:
    """The value and its interval, where it has one."""
    value, interval = format_value(metric, info, signed=signed)
    return f"{value} {interval}".rstrip()


def format_n(metric: Metric, info: MetricInfo, lost: str) -> str:
    """`n = 192 prompts`, and how many were `lost`."""
    unit = info.count_noun.removesuffix("s") if metric.n == 1 else info.count_noun
    return f"n = {metric.n:,} {unit}" + (f", {metric.n_failed:,} {lost}" if metric.n_failed else "")


def explain_inconclusive(difference: Metric, rows: str) -> str:
    """Why it is open which is better, and how many rows would tell if the difference is as large as it looks. The number is
    left out where it is not more than there are: lopsided intervals of a handful of rows know no better."""
    if difference.low is None:
        return "too few for an interval"
    enough = required_sample_size(difference)
    rest = f"; about {_round_up(enough):,} would settle one of this size" if enough and enough > difference.n else ""
    return f"no difference that these {rows} could show{rest}"


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def lowercase_first(text: str) -> str:
    """A label within a sentence."""
    return text[:1].lower() + text[1:]


def _round_up(count: int) -> int:
    """Up to two significant digits: more would claim a precision that the difference does not have."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
