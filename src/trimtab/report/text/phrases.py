"""Phrases for sentences in reports: names of arms, values with intervals, and inconclusive results."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.config.names import SFT_ROW, is_sft_row
from trimtab.report.metric_info import MetricInfo
from trimtab.report.value_format import format_value
from trimtab.stats import required_sample_size
from trimtab.types import Metric

_ARM_NAMES = {
    "base": "the base model",
    "sft": "SFT alone",
    "human": "human labels",
    "weak": "weak labels",
    "flipped": "randomly flipped labels",
    "weak_model": "the weak model itself",
}


def format_arm_name(name: str) -> str:
    """The name of an arm within a sentence."""
    if is_sft_row(name) and name != SFT_ROW:
        return f"SFT alone on {format_arm_name(name.partition('.')[2])}"
    return _ARM_NAMES.get(name, f"“{name}” labels")


# A sample that would have to grow by more than this factor is not suggested.
MAX_GROWTH = 1000


def format_with_interval(metric: Metric, info: MetricInfo, *, signed: bool = False) -> str:
    """The value, followed by the interval if there is one."""
    value, interval = format_value(metric, info, signed=signed)
    return f"{value} {interval}".rstrip()


def format_n(metric: Metric, info: MetricInfo, missing_text: str) -> str:
    """`n = 192 prompts`, and the number of failed ones, described by `missing_text`."""
    unit = info.count_noun.removesuffix("s") if metric.n == 1 else info.count_noun
    return f"n = {metric.n:,} {unit}" + (f", {metric.n_failed:,} {missing_text}" if metric.n_failed else "")


def explain_inconclusive(difference: Metric, count_noun: str) -> str:
    """Why a difference is inconclusive, and the sample size that could detect a difference of this size.

    The sample size is left out unless it exceeds the current one, because intervals of a few rows are too asymmetric to
    estimate it, and if nobody could collect it.
    """
    if difference.low is None:
        return "too few for an interval"
    n_required = required_sample_size(difference)
    if not n_required or not difference.n < n_required <= MAX_GROWTH * difference.n:
        return f"no significant difference on these {count_noun}"
    return (
        f"no significant difference on these {count_noun}; about {_round_up(n_required):,} would be needed to detect one of "
        "this size"
    )


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def lowercase_first(text: str) -> str:
    """A label as written within a sentence."""
    return text[:1].lower() + text[1:]


def _round_up(count: int) -> int:
    """Rounds up to two significant digits, since the estimate is no more precise."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
