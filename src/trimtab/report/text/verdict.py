"""The result of a study in a few sentences. No sentence claims more than its confidence interval supports."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.config.names import is_sft_row
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import ArmResult, Direction, JudgeInfo, Report, classify_difference, sort_arm_names
from trimtab.report.text import judge_summary
from trimtab.report.text.label_worth import build_label_worth_sentence
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

REWARD_METRICS = ("gold_reward", "proxy_reward")
HEADLINE_METRICS = (*REWARD_METRICS, "accuracy")


def build_verdict(report: Report) -> tuple[str, ...]:
    """A few sentences: the main arm against its start and against human labels, then the other arms and the judges.

    The main arm is `weak`, or else the first arm that is not a reference. Arms are compared by the first gold reward, or else
    by the win rate of the first usable judge, or else by accuracy.
    """
    arm = select_main_arm(report)
    if arm is None:
        return ("No student was trained on labels, so there is nothing to compare.",)
    arm_name = format_arm_name(arm.name)
    if arm.skipped:
        return (f"{capitalize_first(arm_name)} were not evaluated: {arm.skipped.rstrip('.')}.",)
    metric, judge = select_headline_metric(report), select_headline_judge(report)
    if judge is None and _is_pending(report, arm, metric):
        return (f"No result yet for {arm_name}: {_describe_pending(arm)}.",)
    if metric is None and judge is None:
        return ("No two arms were compared on the same test set, so there is no result.",)
    sentences = [] if metric is None else _build_main_arm_sentences(report, arm.name, metric)
    if judge is not None:
        headline = judge_summary.build_headline_sentence(judge, arm.name)
        sentences = [headline, _build_other_arms_sentence_by_judge(report, judge, arm.name), *sentences]
    sentences += [build_label_worth_sentence(report, arm.name, metric)] if metric else []
    sentences += _build_other_judge_sentences(report, arm.name, metric, judge)
    verdict = tuple(sentence for sentence in sentences if sentence)
    return verdict or (f"{capitalize_first(arm_name)} could not be compared to SFT alone or to human labels.",)


def _build_main_arm_sentences(report: Report, arm: str, metric: str) -> list[str]:
    other_arms = _build_other_arms_sentence(report, arm, metric)
    return [
        _build_comparison_sentence(report, arm, report.get_baseline(arm), metric),
        _build_comparison_sentence(report, arm, "human", metric),
        other_arms or _build_comparison_sentence(report, arm, "flipped", metric),
    ]


def _build_other_judge_sentences(
    report: Report, arm: str, metric: str | None, headline_judge: JudgeInfo | None
) -> list[str]:
    """A sentence for each usable judge that the headline is not based on."""
    if headline_judge is not None:
        source = f"judge {headline_judge.name}"
    else:
        source = f"the {lowercase_first(get_metric_info(metric or '').label)}"
    sentences = []
    for judge in judge_summary.select_usable_judges(report, arm):
        if judge is not headline_judge:
            direction = _headline_direction(report, arm, judge.baseline, metric, headline_judge)
            sentences.append(judge_summary.build_secondary_sentence(judge, arm, direction, source))
    return sentences


def _headline_direction(
    report: Report, arm: str, baseline: str, metric: str | None, headline_judge: JudgeInfo | None
) -> Direction:
    """Whether the arm is above or below `baseline`, by the headline's judge or metric."""
    if headline_judge is not None:
        win_rate = judge_summary.get_win_rate(headline_judge, arm)
        is_same_baseline = headline_judge.baseline == baseline
        return classify_difference(judge_summary.subtract_chance_rate(win_rate)) if is_same_baseline else "unclear"
    difference = report.get_difference(arm, baseline, metric or "")
    return "unclear" if difference is None else classify_difference(difference)


def _is_pending(report: Report, arm: ArmResult, metric: str | None) -> bool:
    """Whether the arm's comparison by this metric waits for unfinished stages, of the arm or of its baselines."""
    is_compared = any((each.arm, each.metric) == (arm.name, metric) for each in report.comparisons)
    if not report.missing_stages or is_compared:
        return False
    return metric is None or bool(arm.pending) or metric in arm.metrics


def _describe_pending(arm: ArmResult) -> str:
    return f"{join_names(arm.pending)} not finished" if arm.pending else "its baselines are not finished"


def build_question(report: Report) -> str:
    """The research question: the study's description if it is a question, else one about the main arm."""
    description = report.study.description.strip()
    if description.endswith("?"):
        return description
    arm = select_main_arm(report)
    if arm is None:
        return "How good is the student before and after SFT?"
    metric, judge = select_headline_metric(report), select_headline_judge(report)
    baselines = {each.baseline for each in report.comparisons if (each.arm, each.metric) == (arm.name, metric)}
    start = report.get_baseline(arm.name)
    baseline = "human" if "human" in baselines and (start not in baselines or not is_sft_row(start)) else start
    baseline = baseline if judge is None else judge.baseline
    return f"Is the student better after {format_arm_name(arm.name)} than after {format_arm_name(baseline)}?"


def select_main_arm(report: Report) -> ArmResult | None:
    """The arm that the verdict is about: `weak` if there is one, else the first that is not a reference."""
    by_name = {arm.name: arm for arm in report.arms if arm.role == "arm"}
    first = next((name for name in sort_arm_names(by_name)), None)
    return by_name.get("weak") or (by_name[first] if first else None)


def select_headline_metric(report: Report) -> str | None:
    """The most important metric with a comparison: the first gold reward, else accuracy, else None."""
    compared = [comparison.metric for comparison in report.comparisons]
    for family in HEADLINE_METRICS:
        metric = next((name for name in compared if name.partition(".")[0] == family), None)
        if metric is not None:
            return metric
    return None


def select_headline_judge(report: Report) -> JudgeInfo | None:
    """The first usable judge of the main arm, if no reward was compared; the headline is then its win rate."""
    arm, metric = select_main_arm(report), select_headline_metric(report)
    if arm is None or (metric is not None and metric.partition(".")[0] in REWARD_METRICS):
        return None
    return next(iter(judge_summary.select_usable_judges(report, arm.name)), None)


def _build_comparison_sentence(report: Report, arm: str, baseline: str, metric: str) -> str:
    difference = report.get_difference(arm, baseline, metric)
    if difference is None:
        return ""
    info = get_metric_info(metric)
    arm_name, baseline_name = capitalize_first(format_arm_name(arm)), format_arm_name(baseline)
    label, n = lowercase_first(info.label), format_n(difference, info, "left out")
    if difference.value is None:
        return f"{arm_name} and {baseline_name} could not be compared: they share no {info.count_noun} ({n})."
    direction = classify_difference(difference)
    if direction == "unclear":
        value = format_with_interval(difference, info, signed=True)
        reason = explain_inconclusive(difference, info.count_noun)
        return f"{arm_name} against {baseline_name}: a difference of {value} {label} ({n}), {reason}."
    verb = "beat" if direction == "above" else "fall short of"
    value = format_with_interval(_absolute_difference(difference), info)
    return f"{arm_name} {verb} {baseline_name} by {value} {label} ({n})."


def _build_other_arms_sentence(report: Report, arm: str, metric: str) -> str:
    """One sentence on all other arms that are not references, by their differences to the rows that they started from."""
    differences = {name: report.get_baseline_difference(name, metric) for name in _list_other_arms(report, arm)}
    directions = {name: classify_difference(value) for name, value in differences.items() if value is not None}
    baselines = {report.get_baseline(name) for name in directions}
    return _format_arms_by_direction(
        directions, format_arm_name(*baselines) if len(baselines) == 1 else "SFT alone on the same labels"
    )


def _build_other_arms_sentence_by_judge(report: Report, judge: JudgeInfo, arm: str) -> str:
    """One sentence on all other arms, by the judge's win rates over its baseline."""
    names = [name for name in _list_other_arms(report, arm) if name in judge.arms and name != judge.baseline]
    differences = {name: judge_summary.subtract_chance_rate(judge_summary.get_win_rate(judge, name)) for name in names}
    directions = {name: classify_difference(value) for name, value in differences.items()}
    return _format_arms_by_direction(directions, format_arm_name(judge.baseline))


def _list_other_arms(report: Report, arm: str) -> list[str]:
    return sort_arm_names(other.name for other in report.arms if other.role == "arm" and other.name != arm)


def _format_arms_by_direction(directions: Mapping[str, Direction], baseline_name: str) -> str:
    """The arms above the baseline, then those below, then those without a significant difference."""
    names = {
        direction: [name for name in directions if directions[name] == direction]
        for direction in ("above", "below", "unclear")
    }
    is_one_row = baseline_name.startswith("SFT alone")  # the other names are plural
    parts = [
        f"{join_names(names[direction])} {'is' if len(names[direction]) == 1 else 'are'} {phrase}"
        for direction, phrase in (
            ("above", f"above {baseline_name}"),
            ("below", f"below {'it' if names['above'] and is_one_row else baseline_name}"),
            ("unclear", f"not significantly different from {baseline_name}"),
        )
        if names[direction]
    ]
    return f"Of the other arms, {'; '.join(parts)}." if parts else ""


def _absolute_difference(difference: Metric) -> Metric:
    """A negative difference with its sign removed, as in `fall short by 0.08 [0.04, 0.12]`."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None or low > 0:
        return difference
    return Metric(value=-value, low=-high, high=-low, n=difference.n, n_failed=difference.n_failed)
