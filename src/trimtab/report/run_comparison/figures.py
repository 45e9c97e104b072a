"""The metrics of a report that can be compared across runs, by arm."""

from __future__ import annotations

from trimtab.report.model import LabelInfo, Report
from trimtab.types import Metric

ArmMetrics = dict[tuple[str, str], Metric]
_JUDGE_METRICS = ("win_rate", "length_controlled_win_rate", "order_inconsistency")


def collect_arm_metrics(report: Report) -> ArmMetrics:
    """Metrics keyed by (arm, metric name).

    In this order: the arms' own metrics, judge metrics (`win_rate.JUDGE`), label metrics with labeling costs, and response
    similarity (`cosine.ROW`, `learned_similarity.ROW`).
    """
    own = {(arm.name, name): metric for arm in report.arms for name, metric in arm.metrics.items()}
    judged = {
        (arm, f"{name}.{judge.name}"): metric
        for judge in report.judges
        for arm, judged_arm in judge.arms.items()
        for name, metric in judged_arm.metrics.items()
    }
    labels = {
        (label.arm, name): metric
        for label in report.labels
        for name, metric in {**label.metrics, **_label_cost_metrics(label)}.items()
    }
    similarities = {(info.arm, f"{info.measure}.{info.compared_to}"): info.value for info in report.similarities}
    return {**own, **judged, **labels, **similarities}


def parse_judge_name(metric: str) -> str:
    """The judge in a metric name of `collect_arm_metrics`; empty if the metric is not a judge's."""
    family, _, name = metric.partition(".")
    return name if family in _JUDGE_METRICS else ""


def _label_cost_metrics(label: LabelInfo) -> dict[str, Metric]:
    """Tokens and seconds per pair. These are counts, so they have no interval."""
    if not label.n_pairs:
        return {}
    tokens = label.cost.prompt_tokens + label.cost.generated_tokens
    totals = {"tokens_per_pair": float(tokens), "seconds_per_pair": label.cost.seconds}
    return {
        name: Metric(value=total / label.n_pairs, low=None, high=None, n=label.n_pairs)
        for name, total in totals.items()
    }
