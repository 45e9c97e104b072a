"""What judges' win rates say of an arm, in words that follow the intervals."""

from __future__ import annotations

from dataclasses import replace

from trimtab.report.judges import COIN, JudgeInfo
from trimtab.report.metrics import metric_info
from trimtab.report.model import Report, differs
from trimtab.report.phrases import capital, figures, rows_told, spoken, unsettled
from trimtab.types import Metric

_RATE = metric_info("win_rate")


def believed(report: Report, arm: str) -> list[JudgeInfo]:
    """The judges that compared the arm's answers, without those that are unusable or prefer what people do not."""
    return [each for each in report.judges if arm in each.rows and _usable(each) and rate(each, arm).value is not None]


def rate(judge: JudgeInfo, arm: str) -> Metric:
    return judge.rows[arm].figures["win_rate"]


def lead(rate: Metric) -> Metric:
    """A win rate as a difference: what it has above one half, at which both are equally good."""
    low, value, high = (None if each is None else each - COIN for each in (rate.low, rate.value, rate.high))
    return replace(rate, value=value, low=low, high=high)


def answer(judge: JudgeInfo, arm: str) -> str:
    """The sentence that answers a study whose word is the judge's: the arm against the row that it was compared with."""
    ours, theirs = capital(spoken(arm)), spoken(judge.against)
    side = differs(lead(rate(judge, arm)))
    given = f"judge {judge.name} gives them {_told(judge, arm)}"
    if side == "unclear":
        return f"{ours} against {theirs}: {given}, {unsettled(lead(rate(judge, arm)), _RATE.rows)}."
    return f"{ours} {'beat' if side == 'above' else 'fall short of'} {theirs}: {given}."


def beside(judge: JudgeInfo, arm: str, other: str, whose: str) -> str:
    """The sentence beside an answer that rests on something else, `whose` word is that the arm is on the side `other` of the
    row that it was compared with: `above`, `below` or `unclear`. Only opposite sides are called that."""
    ours, theirs, told = spoken(arm), spoken(judge.against), _told(judge, arm)
    side = differs(lead(rate(judge, arm)))
    if side == "unclear":
        return f"Judge {judge.name} does not tell {ours} from {theirs}: {told}."
    words = f"{ours} to {theirs}: {told}" if side == "above" else f"{theirs} to {ours}, which have {told}"
    opposite = f", the opposite of what {whose} says" if {side, other} == {"above", "below"} else ""
    return f"Judge {judge.name} prefers {words}{opposite}."


def _usable(judge: JudgeInfo) -> bool:
    flips, people = (judge.figures.get(name) for name in ("order_flips", "with_people"))
    as_a_coin = flips is not None and flips.low is not None and flips.low > COIN
    contrary = people is not None and people.high is not None and people.high < COIN
    return not as_a_coin and not contrary


def _told(judge: JudgeInfo, arm: str) -> str:
    found = rate(judge, arm)
    return f"a win rate of {figures(found, _RATE)} ({rows_told(found, _RATE, 'failed')})"
