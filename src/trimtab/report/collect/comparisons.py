"""Which rows of the results are compared with which, and how."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from trimtab import stats
from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY
from trimtab.report.model import Comparison, Report
from trimtab.report.text.verdict import select_main_arm

# What every arm is compared with, as far as a study has it.
COMMON_BASELINES = ("sft", "base", "human", "flipped")
# What the main arm is compared with besides SFT alone, which every table has.
_MAIN_ARM_BASELINES = ("human", "flipped")
_TESTED_METRICS = ("gold_reward", "accuracy")
_SHOWN_METRICS = (*_TESTED_METRICS, "proxy_reward")
_MIN_SHOWN_P_VALUE = 0.001

MetricValues = Mapping[str, Mapping[str, float]]


def build_comparisons(
    rows: Mapping[str, MetricValues], clusters: Mapping[str, Hashable], requested: Mapping[str, Sequence[str]]
) -> list[Comparison]:
    """Paired by prompt or pair, on what both rows have, `rows` being each row's figures by metric and id. `asked` are the rows
    that a study has an arm compared with; `clusters` gives the prompt of a pair, and other ids are their own."""
    return [
        _build_comparison(name, against, metric, rows, clusters)
        for name, against in _iter_arm_pairs(rows, requested)
        for metric in rows[name]
        if metric in rows[against] and _is_compared(metric, against, requested.get(name, ()))
    ]


def select_main_comparisons(report: Report) -> list[Comparison]:
    """The comparisons that a study asks for with `against`, and its main arm's with human and flipped labels, by the figures
    that matter most."""
    main = select_main_arm(report)
    wanted = [(arm.name, against) for arm in report.arms for against in arm.compare_with]
    wanted += [(main.name, against) for against in _MAIN_ARM_BASELINES] if main else []
    by_pair: dict[tuple[str, str], list[Comparison]] = {}
    for each in report.comparisons:
        if each.metric.partition(".")[0] in _SHOWN_METRICS:
            by_pair.setdefault((each.arm, each.baseline), []).append(each)
    return [each for pair in dict.fromkeys(wanted) for each in by_pair.get(pair, [])]


def format_p_value(p_value: float | None) -> str:
    """`0.125`, `< 0.001`, or a dash where nothing differs."""
    if p_value is None:
        return "–"
    return f"< {_MIN_SHOWN_P_VALUE}" if p_value < _MIN_SHOWN_P_VALUE else f"{p_value:.3f}"


def _iter_arm_pairs(rows: Mapping[str, MetricValues], asked: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    always = [
        (name, against)
        for against in COMMON_BASELINES
        if against in rows
        for name in rows
        if name != against and (against != "base" or "sft" not in rows or name == "sft")
    ]
    own = [(name, against) for name in rows for against in asked.get(name, ()) if against in rows]
    yield from dict.fromkeys([*always, *own])


def _is_compared(metric: str, against: str, asked: Sequence[str]) -> bool:
    """Side effects are told against where a student began, and against what a study asks for."""
    return metric != "ended" and (metric not in SIDE_EFFECT_ONLY or against in ("sft", "base") or against in asked)


def _build_comparison(
    name: str, against: str, metric: str, rows: Mapping[str, MetricValues], clusters: Mapping[str, Hashable]
) -> Comparison:
    ours, theirs = rows[name][metric], rows[against][metric]
    prompts = {key: clusters.get(key, key) for key in ours}
    difference = stats.paired_difference(ours, theirs, clusters=prompts)
    if metric.partition(".")[0] not in _TESTED_METRICS:
        return Comparison(arm=name, baseline=against, metric=metric, difference=difference)
    found = stats.mcnemar_test(ours, theirs, clusters=prompts)
    return Comparison(
        arm=name,
        baseline=against,
        metric=metric,
        difference=difference,
        wins=found.wins,
        losses=found.losses,
        p_value=found.p_value,
    )
