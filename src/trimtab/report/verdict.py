"""The outcome in a few sentences of plain language, none of which claims more than its interval allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from trimtab.report import rulings
from trimtab.report.judges import JudgeInfo
from trimtab.report.metrics import metric_info
from trimtab.report.model import Arm, Report, arm_order, differs
from trimtab.report.phrases import capital, figures, listed, rows_told, small, spoken, unsettled
from trimtab.types import Metric

BASELINE = "sft"
REWARDS = ("gold_reward", "proxy_reward")
HEADLINES = (*REWARDS, "accuracy")

Side = Literal["above", "below", "unclear"]


def verdict(report: Report) -> tuple[str, ...]:
    """A few sentences: the main arm against SFT alone, against human labels, and then the other arms and the judges.

    The main arm is `weak`, or else the first one that is not a reference. Gold reward is compared where there is one, else the
    win rate that the first usable judge gives, else accuracy. With no flipped or further arm there is no sentence on them.
    """
    arm = main_arm(report)
    if arm is None:
        return ("No arm was trained on labels, so there is nothing to compare.",)
    if arm.skipped:
        return (f"{capital(spoken(arm.name))} were not tried: {arm.skipped.rstrip('.')}.",)
    metric, judge = headline_metric(report), headline_judge(report)
    if judge is None and _is_awaited(report, arm, metric):
        return (f"Nothing can be said yet of {spoken(arm.name)}: {_awaited(arm)}.",)
    if metric is None and judge is None:
        return ("No arm was compared with another on the same rows, so nothing can be said of which is better.",)
    sentences = [] if metric is None else _compared(report, arm.name, metric)
    if judge is not None:
        sentences = [rulings.answer(judge, arm.name), _by_judge(report, judge, arm.name), *sentences]
    said = tuple(sentence for sentence in [*sentences, *_by_others(report, arm.name, metric, judge)] if sentence)
    return said or (f"{capital(spoken(arm.name))} were compared with neither SFT alone nor human labels.",)


def _compared(report: Report, arm: str, metric: str) -> list[str]:
    sentences = [_against(report, arm, BASELINE, metric), _against(report, arm, "human", metric)]
    return [*sentences, _others(report, arm, metric) or _against(report, arm, "flipped", metric)]


def _by_others(report: Report, arm: str, metric: str | None, first: JudgeInfo | None) -> list[str]:
    """What judges say that the answer does not rest on, and whether it is the opposite."""
    whose = f"judge {first.name}" if first else f"the {small(metric_info(metric or '').label)}"
    others = [judge for judge in rulings.believed(report, arm) if judge is not first]
    return [rulings.beside(judge, arm, _answered(report, arm, judge.against, metric, first), whose) for judge in others]


def _answered(report: Report, arm: str, against: str, metric: str | None, first: JudgeInfo | None) -> Side:
    """The side of the row `against` that the arm is on by what the answer rests on."""
    if first is not None:
        return differs(rulings.lead(rulings.rate(first, arm))) if first.against == against else "unclear"
    difference = report.comparison(arm, against, metric or "")
    return "unclear" if difference is None else differs(difference)


def _is_awaited(report: Report, arm: Arm, metric: str | None) -> bool:
    """Whether the arm's comparison by this metric is still to come, be it the arm that is not made or what it is held to."""
    if not report.missing or any((each.arm, each.metric) == (arm.name, metric) for each in report.comparisons):
        return False
    return metric is None or bool(arm.pending) or metric in arm.metrics


def _awaited(arm: Arm) -> str:
    return f"{listed(arm.pending)} still to come" if arm.pending else "what it is compared with is still to come"


def question(report: Report) -> str:
    """What the study asks: its description where that is a question, else what its main arm was trained to show."""
    description = report.study.description.strip()
    if description.endswith("?"):
        return description
    arm = main_arm(report)
    if arm is None:
        return "How good is the student as it came, and after SFT alone?"
    metric, judge = headline_metric(report), headline_judge(report)
    against = {each.against for each in report.comparisons if (each.arm, each.metric) == (arm.name, metric)}
    other = "human" if BASELINE not in against and "human" in against else BASELINE
    other = other if judge is None else judge.against
    return f"Is the student better after {spoken(arm.name)} than after {spoken(other)}?"


def main_arm(report: Report) -> Arm | None:
    """The arm that the verdict is about: `weak` where there is one, else the first that is not a reference."""
    by_name = {arm.name: arm for arm in report.arms if arm.role == "arm"}
    first = next((name for name in arm_order(by_name)), None)
    return by_name.get("weak") or (by_name[first] if first else None)


def headline_metric(report: Report) -> str | None:
    """The compared metric that matters most: the first gold reward, else accuracy, else None."""
    compared = [each.metric for each in report.comparisons]
    for family in HEADLINES:
        found = next((name for name in compared if name.partition(".")[0] == family), None)
        if found is not None:
            return found
    return None


def headline_judge(report: Report) -> JudgeInfo | None:
    """The judge whose word is the answer: the first usable one of the main arm's answers, where no reward was compared."""
    arm, metric = main_arm(report), headline_metric(report)
    if arm is None or (metric is not None and metric.partition(".")[0] in REWARDS):
        return None
    return next(iter(rulings.believed(report, arm.name)), None)


def _against(report: Report, arm: str, other: str, metric: str) -> str:
    difference = report.comparison(arm, other, metric)
    if difference is None:
        return ""
    info = metric_info(metric)
    ours, theirs, what = capital(spoken(arm)), spoken(other), small(info.label)
    rows = rows_told(difference, info, "left out")
    if difference.value is None:
        return f"{ours} and {theirs} could not be compared: they share no {info.rows} ({rows})."
    side = differs(difference)
    if side == "unclear":
        told = figures(difference, info, signed=True)
        return f"{ours} against {theirs}: a difference of {told} {what} ({rows}), {unsettled(difference, info.rows)}."
    verb = "beat" if side == "above" else "fall short of"
    return f"{ours} {verb} {theirs} by {figures(_size(difference), info)} {what} ({rows})."


def _others(report: Report, arm: str, metric: str) -> str:
    """One sentence on every other arm that is not a reference, sorted by which side of SFT alone it is on."""
    found = ((name, report.comparison(name, BASELINE, metric)) for name in _other_arms(report, arm))
    return _sorted({name: differs(difference) for name, difference in found if difference is not None}, BASELINE)


def _by_judge(report: Report, judge: JudgeInfo, arm: str) -> str:
    """The same by the judge's win rates, against the row that it compared them with."""
    names = [name for name in _other_arms(report, arm) if name in judge.rows and name != judge.against]
    return _sorted({name: differs(rulings.lead(rulings.rate(judge, name))) for name in names}, judge.against)


def _other_arms(report: Report, arm: str) -> list[str]:
    return arm_order(each.name for each in report.arms if each.role == "arm" and each.name != arm)


def _sorted(sides: Mapping[str, Side], against: str) -> str:
    """The arms by the side of `against` that they are on."""
    by_side = {side: [name for name in sides if sides[name] == side] for side in ("above", "below", "unclear")}
    other = spoken(against)
    parts = [
        f"{listed(by_side[side])} {'is' if len(by_side[side]) == 1 else 'are'} {phrase}"
        for side, phrase in (
            ("above", f"above {other}"),
            ("below", "below it" if by_side["above"] and against == BASELINE else f"below {other}"),
            ("unclear", f"not told apart from {other}"),
        )
        if by_side[side]
    ]
    return f"Of the other arms, {'; '.join(parts)}." if parts else ""


def _size(difference: Metric) -> Metric:
    """The difference as a distance: `fall short by 0.08 [0.04, 0.12]` reads without minus signs."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None or low > 0:
        return difference
    return Metric(value=-value, low=-high, high=-low, n=difference.n, n_failed=difference.n_failed)
