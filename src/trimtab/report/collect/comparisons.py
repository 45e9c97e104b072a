"""Paired comparisons between arms."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from trimtab import stats
from trimtab.config.names import SFT_ROW, is_sft_row
from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY
from trimtab.report.model import ArmComparison, Report
from trimtab.report.text.verdict import select_main_arm

# Every arm is compared with these, if the study has them, besides the row that it started from.
COMMON_BASELINES = ("human", "flipped")
# The main arm's baselines in the table of main comparisons. Every table has the difference to the start.
_MAIN_ARM_BASELINES = ("human", "flipped")
_TESTED_METRICS = ("gold_reward", "accuracy")
_SHOWN_METRICS = (*_TESTED_METRICS, "proxy_reward")
_MIN_SHOWN_P_VALUE = 0.001

# Values by metric and by prompt or pair id.
MetricValues = Mapping[str, Mapping[str, float]]


def build_comparisons(
    arms: Mapping[str, MetricValues],
    clusters: Mapping[str, Hashable],
    requested: Mapping[str, Sequence[str]],
    starts: Mapping[str, str] | None = None,
) -> list[ArmComparison]:
    """Comparisons paired by prompt or pair id, over the ids that both arms have.

    `requested` lists the arms that the study compares an arm with, `starts` has the row that an arm started from. `clusters`
    maps pair ids to prompts; ids that are not in it are clusters of their own.
    """
    baselines = {arm: _find_baseline(arm, arms, starts or {}) for arm in arms}
    return [
        _build_comparison(arm, baseline, metric, arms, clusters)
        for arm, baseline in _iter_arm_pairs(arms, baselines, requested)
        for metric in arms[arm]
        if metric in arms[baseline] and _is_compared(metric, baseline, (baselines[arm], *requested.get(arm, ())))
    ]


def select_main_comparisons(report: Report) -> list[ArmComparison]:
    """The comparisons under `compare_with` and those of the main arm with human and flipped labels, by the main metrics."""
    main = select_main_arm(report)
    arm_pairs = [(arm.name, baseline) for arm in report.arms for baseline in arm.compare_with]
    arm_pairs += [(main.name, baseline) for baseline in _MAIN_ARM_BASELINES] if main else []
    by_pair: dict[tuple[str, str], list[ArmComparison]] = {}
    for comparison in report.comparisons:
        if comparison.metric.partition(".")[0] in _SHOWN_METRICS:
            by_pair.setdefault((comparison.arm, comparison.baseline), []).append(comparison)
    return [comparison for arm_pair in dict.fromkeys(arm_pairs) for comparison in by_pair.get(arm_pair, [])]


def format_p_value(p_value: float | None) -> str:
    """`0.125`, `< 0.001`, or a dash if there is none."""
    if p_value is None:
        return "–"
    return f"< {_MIN_SHOWN_P_VALUE}" if p_value < _MIN_SHOWN_P_VALUE else f"{p_value:.3f}"


def _find_baseline(arm: str, arms: Mapping[str, MetricValues], starts: Mapping[str, str]) -> str:
    """The row that the arm started from. Rows without a start are compared with SFT, or with the base model; SFT with the
    latter."""
    if is_sft_row(arm):
        return "base"
    return starts.get(arm) or (SFT_ROW if SFT_ROW in arms else "base")


def _iter_arm_pairs(
    arms: Mapping[str, MetricValues], baselines: Mapping[str, str], requested: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """(arm, baseline), without duplicates."""
    to_start = [(arm, baseline) for arm, baseline in baselines.items() if baseline in arms and arm != baseline]
    common = [
        *(pair for pair in to_start if is_sft_row(pair[1])),
        *(pair for pair in to_start if not is_sft_row(pair[1])),
        *((arm, baseline) for baseline in COMMON_BASELINES if baseline in arms for arm in arms if arm != baseline),
    ]
    by_request = [(arm, baseline) for arm in arms for baseline in requested.get(arm, ()) if baseline in arms]
    yield from dict.fromkeys([*common, *by_request])


def _is_compared(metric: str, baseline: str, requested: Sequence[str]) -> bool:
    """Side effects are compared with the model that training started from, and with requested arms."""
    return metric != "eos_rate" and (metric not in SIDE_EFFECT_ONLY or baseline in requested)


def _build_comparison(
    arm: str, baseline: str, metric: str, arms: Mapping[str, MetricValues], clusters: Mapping[str, Hashable]
) -> ArmComparison:
    values, baseline_values = arms[arm][metric], arms[baseline][metric]
    prompts = {key: clusters.get(key, key) for key in values}
    difference = stats.paired_difference(values, baseline_values, clusters=prompts)
    if metric.partition(".")[0] not in _TESTED_METRICS:
        return ArmComparison(arm=arm, baseline=baseline, metric=metric, difference=difference)
    test = stats.mcnemar_test(values, baseline_values, clusters=prompts)
    return ArmComparison(
        arm=arm,
        baseline=baseline,
        metric=metric,
        difference=difference,
        wins=test.wins,
        losses=test.losses,
        p_value=test.p_value,
    )
