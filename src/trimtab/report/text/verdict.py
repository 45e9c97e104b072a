"""The outcome in a few sentences of plain language, none of which claims more than its interval allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from trimtab.metrics.judge_quality import JudgeInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Arm, Report, classify_difference, sort_arm_names
from trimtab.report.text import judge_summary
from trimtab.report.text.phrases import (
    capitalize_first,
    explain_inconclusive,
    format_arm_name,
    format_n,
    format_with_interval,
    join_names,
    lowercase_first,
)
from trimtab.types import Metric

BASELINE = "sft"
REWARD_METRICS = ("gold_reward", "proxy_reward")
HEADLINE_METRICS = (*REWARD_METRICS, "accuracy")

Direction = Literal["above", "below", "unclear"]


def build_verdict(report: Report) -> tuple[str, ...]:
    """A few sentences: the main arm against SFT alone, against human labels, and then the other arms and the judges.

    The main arm is `weak`, or else the first one that is not a reference. Gold reward is compared where there is one, else the
    win rate that the first usable judge gives, else accuracy. With no flipped or further arm there is no sentence on them.
    """
    arm = select_main_arm(report)
    if arm is None:
        return ("No arm was trained on labels, so there is nothing to compare.",)
    if arm.skipped:
        return (f"{capitalize_first(format_arm_name(arm.name))} were not tried: {arm.skipped.rstrip('.')}.",)
    metric, judge = select_headline_metric(report), select_headline_judge(report)
    if judge is None and _is_pending(report, arm, metric):
        return (f"Nothing can be said yet of {format_arm_name(arm.name)}: {_describe_pending(arm)}.",)
    if metric is None and judge is None:
        return ("No arm was compared with another on the same rows, so nothing can be said of which is better.",)
    sentences = [] if metric is None else _build_main_arm_sentences(report, arm.name, metric)
    if judge is not None:
        sentences = [
            judge_summary.build_headline_sentence(judge, arm.name),
            _build_other_arms_sentence_by_judge(report, judge, arm.name),
            *sentences,
        ]
    said = tuple(
        sentence
        for sentence in [*sentences, *_build_other_judge_sentences(report, arm.name, metric, judge)]
        if sentence
    )
    return said or (
        f"{capitalize_first(format_arm_name(arm.name))} were compared with neither SFT alone nor human labels.",
    )


def _build_main_arm_sentences(report: Report, arm: str, metric: str) -> list[str]:
    sentences = [
        _build_comparison_sentence(report, arm, BASELINE, metric),
        _build_comparison_sentence(report, arm, "human", metric),
    ]
    return [
        *sentences,
        _build_other_arms_sentence(report, arm, metric) or _build_comparison_sentence(report, arm, "flipped", metric),
    ]


def _build_other_judge_sentences(report: Report, arm: str, metric: str | None, first: JudgeInfo | None) -> list[str]:
    """What judges say that the answer does not rest on, and whether it is the opposite."""
    whose = f"judge {first.name}" if first else f"the {lowercase_first(get_metric_info(metric or '').label)}"
    others = [judge for judge in judge_summary.select_usable_judges(report, arm) if judge is not first]
    return [
        judge_summary.build_secondary_sentence(
            judge, arm, _headline_direction(report, arm, judge.baseline, metric, first), whose
        )
        for judge in others
    ]


def _headline_direction(
    report: Report, arm: str, against: str, metric: str | None, first: JudgeInfo | None
) -> Direction:
    """The side of the row `against` that the arm is on by what the answer rests on."""
    if first is not None:
        return (
            classify_difference(judge_summary.subtract_chance_rate(judge_summary.get_win_rate(first, arm)))
            if first.baseline == against
            else "unclear"
        )
    difference = report.get_difference(arm, against, metric or "")
    return "unclear" if difference is None else classify_difference(difference)


def _is_pending(report: Report, arm: Arm, metric: str | None) -> bool:
    """Whether the arm's comparison by this metric is still to come, be it the arm that is not made or what it is held to."""
    if not report.missing_stages or any((each.arm, each.metric) == (arm.name, metric) for each in report.comparisons):
        return False
    return metric is None or bool(arm.pending) or metric in arm.metrics


def _describe_pending(arm: Arm) -> str:
    return f"{join_names(arm.pending)} still to come" if arm.pending else "what it is compared with is still to come"


def build_question(report: Report) -> str:
    """What the study asks: its description where that is a question, else what its main arm was trained to show."""
    description = report.study.description.strip()
    if description.endswith("?"):
        return description
    arm = select_main_arm(report)
    if arm is None:
        return "How good is the student as it came, and after SFT alone?"
    metric, judge = select_headline_metric(report), select_headline_judge(report)
    against = {each.baseline for each in report.comparisons if (each.arm, each.metric) == (arm.name, metric)}
    other = "human" if BASELINE not in against and "human" in against else BASELINE
    other = other if judge is None else judge.baseline
    return f"Is the student better after {format_arm_name(arm.name)} than after {format_arm_name(other)}?"


def select_main_arm(report: Report) -> Arm | None:
    """The arm that the verdict is about: `weak` where there is one, else the first that is not a reference."""
    by_name = {arm.name: arm for arm in report.arms if arm.role == "arm"}
    first = next((name for name in sort_arm_names(by_name)), None)
    return by_name.get("weak") or (by_name[first] if first else None)


def select_headline_metric(report: Report) -> str | None:
    """The compared metric that matters most: the first gold reward, else accuracy, else None."""
    compared = [each.metric for each in report.comparisons]
    for family in HEADLINE_METRICS:
        found = next((name for name in compared if name.partition(".")[0] == family), None)
        if found is not None:
            return found
    return None


def select_headline_judge(report: Report) -> JudgeInfo | None:
    """The judge whose word is the answer: the first usable one of the main arm's answers, where no reward was compared."""
    arm, metric = select_main_arm(report), select_headline_metric(report)
    if arm is None or (metric is not None and metric.partition(".")[0] in REWARD_METRICS):
        return None
    return next(iter(judge_summary.select_usable_judges(report, arm.name)), None)


def _build_comparison_sentence(report: Report, arm: str, other: str, metric: str) -> str:
    difference = report.get_difference(arm, other, metric)
    if difference is None:
        return ""
    info = get_metric_info(metric)
    ours, theirs, what = capitalize_first(format_arm_name(arm)), format_arm_name(other), lowercase_first(info.label)
    rows = format_n(difference, info, "left out")
    if difference.value is None:
        return f"{ours} and {theirs} could not be compared: they share no {info.count_noun} ({rows})."
    side = classify_difference(difference)
    if side == "unclear":
        told = format_with_interval(difference, info, signed=True)
        return f"{ours} against {theirs}: a difference of {told} {what} ({rows}), {explain_inconclusive(difference, info.count_noun)}."
    verb = "beat" if side == "above" else "fall short of"
    return f"{ours} {verb} {theirs} by {format_with_interval(_absolute_difference(difference), info)} {what} ({rows})."


def _build_other_arms_sentence(report: Report, arm: str, metric: str) -> str:
    """One sentence on every other arm that is not a reference, sorted by which side of SFT alone it is on."""
    found = ((name, report.get_difference(name, BASELINE, metric)) for name in _list_other_arms(report, arm))
    return _format_arms_by_direction(
        {name: classify_difference(difference) for name, difference in found if difference is not None}, BASELINE
    )


def _build_other_arms_sentence_by_judge(report: Report, judge: JudgeInfo, arm: str) -> str:
    """The same by the judge's win rates, against the row that it compared them with."""
    names = [name for name in _list_other_arms(report, arm) if name in judge.arms and name != judge.baseline]
    return _format_arms_by_direction(
        {
            name: classify_difference(judge_summary.subtract_chance_rate(judge_summary.get_win_rate(judge, name)))
            for name in names
        },
        judge.baseline,
    )


def _list_other_arms(report: Report, arm: str) -> list[str]:
    return sort_arm_names(each.name for each in report.arms if each.role == "arm" and each.name != arm)


def _format_arms_by_direction(sides: Mapping[str, Direction], against: str) -> str:
    """The arms by the side of `against` that they are on."""
    by_side = {side: [name for name in sides if sides[name] == side] for side in ("above", "below", "unclear")}
    other = format_arm_name(against)
    parts = [
        f"{join_names(by_side[side])} {'is' if len(by_side[side]) == 1 else 'are'} {phrase}"
        for side, phrase in (
            ("above", f"above {other}"),
            ("below", "below it" if by_side["above"] and against == BASELINE else f"below {other}"),
            ("unclear", f"not told apart from {other}"),
        )
        if by_side[side]
    ]
    return f"Of the other arms, {'; '.join(parts)}." if parts else ""


def _absolute_difference(difference: Metric) -> Metric:
    """The difference as a distance: `fall short by 0.08 [0.04, 0.12]` reads without minus signs."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None or low > 0:
        return difference
    return Metric(value=-value, low=-high, high=-low, n=difference.n, n_failed=difference.n_failed)
