"""What of a report can stand beside another's: figures by arm, of students, judges, labels and likeness."""

from __future__ import annotations

from trimtab.report.model import LabelInfo, Report
from trimtab.types import Metric

ArmMetrics = dict[tuple[str, str], Metric]


def collect_arm_metrics(report: Report) -> ArmMetrics:
    """By arm and metric: the arms' own, then what each judge says of their answers (`win_rate.JUDGE`), then of their labels and
    what these cost, then how alike their answers are to others (`cosine.ROW`)."""
    own = {(arm.name, name): figure for arm in report.arms for name, figure in arm.metrics.items()}
    judged = {
        (row, f"{name}.{judge.name}"): figure
        for judge in report.judges
        for row, found in judge.arms.items()
        for name, figure in found.metrics.items()
    }
    labels = {
        (each.arm, name): figure
        for each in report.labels
        for name, figure in {**each.metrics, **_label_cost_metrics(each)}.items()
    }
    alike = {(each.arm, f"cosine.{each.compared_to}"): each.cosine for each in report.similarities}
    return {**own, **judged, **labels, **alike}


def parse_judge_name(metric: str) -> str:
    """The judge that gave a figure of `figures_of`; empty where none did."""
    family, _, name = metric.partition(".")
    return name if family in ("win_rate", "length_controlled_win_rate", "order_flips") else ""


def _label_cost_metrics(label: LabelInfo) -> dict[str, Metric]:
    """A pair's tokens and seconds; counted, so without an interval."""
    if not label.n_pairs:
        return {}
    tokens = label.cost.prompt_tokens + label.cost.generated_tokens
    totals = {"label_tokens": float(tokens), "label_seconds": label.cost.seconds}
    return {
        name: Metric(value=total / label.n_pairs, low=None, high=None, n=label.n_pairs)
        for name, total in totals.items()
    }
