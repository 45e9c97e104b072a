"""Sentences about judges: their win rates for an arm, and warnings about their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trimtab.metrics.judge_quality import CHANCE_RATE
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Direction, JudgeInfo, Report, classify_difference
from trimtab.report.text.phrases import (
    capitalize_first,
    explain_inconclusive,
    format_arm_name,
    format_n,
    format_with_interval,
)
from trimtab.types import Metric

# With a larger share of failed verdicts, the remaining comparisons may be the easy ones.
MAX_FAILURE_RATE = 0.2
_WIN_RATE = get_metric_info("win_rate")


def select_usable_judges(report: Report, arm: str) -> list[JudgeInfo]:
    """The judges with a win rate for the arm, except those with position bias and those that contradict human labels."""
    return [
        judge
        for judge in report.judges
        if arm in judge.arms and _is_usable(judge) and get_win_rate(judge, arm).value is not None
    ]


def get_win_rate(judge: JudgeInfo, arm: str) -> Metric:
    return judge.arms[arm].metrics["win_rate"]


def subtract_chance_rate(rate: Metric) -> Metric:
    """A win rate as a difference to one half, at which both arms are equally good."""
    low, value, high = (None if x is None else x - CHANCE_RATE for x in (rate.low, rate.value, rate.high))
    return replace(rate, value=value, low=low, high=high)


def build_headline_sentence(judge: JudgeInfo, arm: str) -> str:
    """The headline of a study whose answer is a judge's win rate of the arm over the judge's baseline."""
    arm_name, baseline = capitalize_first(format_arm_name(arm)), format_arm_name(judge.baseline)
    difference = subtract_chance_rate(get_win_rate(judge, arm))
    direction = classify_difference(difference)
    result = f"judge {judge.name} gives them {_format_win_rate(judge, arm)}"
    if direction == "unclear":
        return f"{arm_name} against {baseline}: {result}, {explain_inconclusive(difference, _WIN_RATE.count_noun)}."
    return f"{arm_name} {'beat' if direction == 'above' else 'fall short of'} {baseline}: {result}."


def build_secondary_sentence(judge: JudgeInfo, arm: str, headline_direction: Direction, headline_source: str) -> str:
    """A judge's result in addition to the headline, which `headline_source` gave. Says so if the two contradict each other."""
    arm_name, baseline = format_arm_name(arm), format_arm_name(judge.baseline)
    win_rate = _format_win_rate(judge, arm)
    direction = classify_difference(subtract_chance_rate(get_win_rate(judge, arm)))
    if direction == "unclear":
        return f"Judge {judge.name} finds no significant difference between {arm_name} and {baseline}: {win_rate}."
    if direction == "above":
        preference = f"{arm_name} to {baseline}: {win_rate}"
    else:
        preference = f"{baseline} to {arm_name}, which have {win_rate}"
    is_opposite = {direction, headline_direction} == {"above", "below"}
    return f"Judge {judge.name} prefers {preference}{f', contradicting {headline_source}' if is_opposite else ''}."


def build_judge_warnings(
    name: str, metrics: Mapping[str, Metric], n_failed: int, n_unparsed_ties: int, n: int
) -> tuple[str, ...]:
    """What readers must know before they trust this judge. No warning claims more than the intervals support."""
    warnings = (
        _build_failure_warning(name, n_failed, n),
        _build_unparsed_tie_warning(name, n_unparsed_ties, n),
        _build_position_bias_warning(name, metrics.get("order_inconsistency")),
        _build_human_agreement_warning(name, metrics.get("human_agreement")),
    )
    return tuple(warning for warning in warnings if warning)


def _build_failure_warning(name: str, n_failed: int, n: int) -> str:
    if n_failed <= MAX_FAILURE_RATE * n:
        return ""
    return f"Judge {name} gave no valid verdict on {n_failed} of {n} comparisons; its metrics are over the others only."


def _build_unparsed_tie_warning(name: str, n_unparsed_ties: int, n: int) -> str:
    if not n_unparsed_ties:
        return ""
    return (
        f"Judge {name} gave no valid verdict on {n_unparsed_ties} of {n} comparisons; the study counts these as ties."
    )


def _build_position_bias_warning(name: str, inconsistency: Metric | None) -> str:
    if (
        inconsistency is None
        or inconsistency.value is None
        or (inconsistency.high is not None and inconsistency.high < CHANCE_RATE)
    ):
        return ""
    rate = f"picks the same position in both orders on {_format_rate(inconsistency)} of {inconsistency.n} comparisons"
    if inconsistency.low is None:
        return f"Judge {name} {rate}: too few to distinguish it from chance."
    if inconsistency.low > CHANCE_RATE:
        return (
            f"Judge {name} is unusable: it {rate}; chance would be one half. Its verdicts depend on the position of a "
            "response, not on its quality."
        )
    return f"Judge {name} {rate}: not significantly different from chance at this sample size."


def _build_human_agreement_warning(name: str, agreement: Metric | None) -> str:
    if agreement is None or agreement.value is None or (agreement.low is not None and agreement.low > CHANCE_RATE):
        return ""
    rate = f"{_format_rate(agreement)} (n = {agreement.n} pairs, ties count one half)"
    if agreement.high is not None and agreement.high < CHANCE_RATE:
        return f"Judge {name} contradicts human preferences: it agrees with human labels on {rate}."
    return f"The human agreement of judge {name} is not significantly different from chance: {rate}."


def _is_usable(judge: JudgeInfo) -> bool:
    inconsistency, agreement = (judge.metrics.get(name) for name in ("order_inconsistency", "human_agreement"))
    is_biased = inconsistency is not None and inconsistency.low is not None and inconsistency.low > CHANCE_RATE
    contradicts = agreement is not None and agreement.high is not None and agreement.high < CHANCE_RATE
    return not is_biased and not contradicts


def _format_win_rate(judge: JudgeInfo, arm: str) -> str:
    rate = get_win_rate(judge, arm)
    return f"a win rate of {format_with_interval(rate, _WIN_RATE)} ({format_n(rate, _WIN_RATE, 'failed')})"


def _format_rate(metric: Metric) -> str:
    interval = "" if metric.low is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{interval}"
