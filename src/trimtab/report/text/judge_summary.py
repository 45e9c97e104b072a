"""What judges' win rates say of an arm, in words that follow the intervals."""

from __future__ import annotations

from dataclasses import replace

from trimtab.metrics.judge_quality import CHANCE_RATE, JudgeInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, classify_difference
from trimtab.report.text.phrases import (
    capitalize_first,
    explain_inconclusive,
    format_arm_name,
    format_n,
    format_with_interval,
)
from trimtab.types import Metric

_WIN_RATE = get_metric_info("win_rate")


def select_usable_judges(report: Report, arm: str) -> list[JudgeInfo]:
    """The judges that compared the arm's answers, without those that are unusable or prefer what people do not."""
    return [
        each
        for each in report.judges
        if arm in each.arms and _is_usable(each) and get_win_rate(each, arm).value is not None
    ]


def get_win_rate(judge: JudgeInfo, arm: str) -> Metric:
    return judge.arms[arm].metrics["win_rate"]


def subtract_chance_rate(rate: Metric) -> Metric:
    """A win rate as a difference: what it has above one half, at which both are equally good."""
    low, value, high = (None if each is None else each - CHANCE_RATE for each in (rate.low, rate.value, rate.high))
    return replace(rate, value=value, low=low, high=high)


def build_headline_sentence(judge: JudgeInfo, arm: str) -> str:
    """The sentence that answers a study whose word is the judge's: the arm against the row that it was compared with."""
    ours, theirs = capitalize_first(format_arm_name(arm)), format_arm_name(judge.baseline)
    side = classify_difference(subtract_chance_rate(get_win_rate(judge, arm)))
    given = f"judge {judge.name} gives them {_format_win_rate(judge, arm)}"
    if side == "unclear":
        return f"{ours} against {theirs}: {given}, {explain_inconclusive(subtract_chance_rate(get_win_rate(judge, arm)), _WIN_RATE.count_noun)}."
    return f"{ours} {'beat' if side == 'above' else 'fall short of'} {theirs}: {given}."


def build_secondary_sentence(judge: JudgeInfo, arm: str, headline_direction: str, headline_source: str) -> str:
    """The sentence beside an answer that rests on something else, `whose` word is that the arm is on the side `other` of the
    row that it was compared with: `above`, `below` or `unclear`. Only opposite sides are called that."""
    ours, theirs, told = format_arm_name(arm), format_arm_name(judge.baseline), _format_win_rate(judge, arm)
    side = classify_difference(subtract_chance_rate(get_win_rate(judge, arm)))
    if side == "unclear":
        return f"Judge {judge.name} does not tell {ours} from {theirs}: {told}."
    words = f"{ours} to {theirs}: {told}" if side == "above" else f"{theirs} to {ours}, which have {told}"
    opposite = (
        f", the opposite of what {headline_source} says" if {side, headline_direction} == {"above", "below"} else ""
    )
    return f"Judge {judge.name} prefers {words}{opposite}."


def _is_usable(judge: JudgeInfo) -> bool:
    flips, people = (judge.metrics.get(name) for name in ("order_flips", "with_people"))
    as_a_coin = flips is not None and flips.low is not None and flips.low > CHANCE_RATE
    contrary = people is not None and people.high is not None and people.high < CHANCE_RATE
    return not as_a_coin and not contrary


def _format_win_rate(judge: JudgeInfo, arm: str) -> str:
    found = get_win_rate(judge, arm)
    return f"a win rate of {format_with_interval(found, _WIN_RATE)} ({format_n(found, _WIN_RATE, 'failed')})"
