"""A finished run's figures as Markdown: python studies/tables.py runs/hh-helpful

Arms, their paired differences to the reference rows, labels, and what the rewards are worth, all from the run's report.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.report.collect.rewards import display_metric_name
from trimtab.report.metric_registry import format_value, get_metric_info
from trimtab.report.model import Report, report_from_json
from trimtab.types import Metric

ROW_METRICS = (
    "gold_reward",
    "accuracy",
    "length",
    "ended",
    "refusals",
    "distinct",
    "divergence",
    "surer_and_wrong",
    "order_flips",
)
DIFFERENCE_METRICS = ("gold_reward", "accuracy")
LABEL_METRICS = (
    *("agreement", "coverage", "kappa", "calibration_error", "length_correlation"),
    *("order_flips", "cut_short", "said_of_others"),
)


def format_metric_value(metric: Metric | None, name: str, *, signed: bool = False) -> str:
    return "" if metric is None else " ".join(format_value(metric, get_metric_info(name), signed=signed)).strip()


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def format_column_title(report: Report, name: str, counts: Sequence[int]) -> str:
    label = get_metric_info(display_metric_name(name, report.rewards)).label
    return f"{label}, n = {' or '.join(map(str, sorted(set(counts))))}"


def render_arms(report: Report) -> str:
    shown = [name for name in ROW_METRICS if any(name in arm.metrics for arm in report.arms)]
    counts = {name: [arm.metrics[name].n for arm in report.arms if name in arm.metrics] for name in shown}
    head = ["arm", *(format_column_title(report, name, counts[name]) for name in shown)]
    return render_table(
        head,
        [
            [f"`{arm.name}`", *(format_metric_value(arm.metrics.get(name), name) for name in shown)]
            for arm in report.arms
        ],
    )


def render_differences(report: Report) -> str:
    found = {(each.arm, each.baseline, each.metric): each.difference for each in report.comparisons}
    pairs = dict.fromkeys((arm, against) for arm, against, metric in found if metric in DIFFERENCE_METRICS)
    shown = [name for name in DIFFERENCE_METRICS if any(metric == name for _, _, metric in found)]
    head = ["", *(get_metric_info(display_metric_name(name, report.rewards)).label for name in shown)]
    rows = [
        [
            f"`{arm}` minus `{against}`",
            *(format_metric_value(found.get((arm, against, name)), name, signed=True) for name in shown),
        ]
        for arm, against in pairs
    ]
    return render_table(head, rows)


def render_labels(report: Report) -> str:
    shown = [name for name in LABEL_METRICS if any(name in each.metrics for each in report.labels)]
    head = ["labels", *(get_metric_info(name).label for name in shown)]
    return render_table(
        head,
        [
            [f"`{each.arm}`", *(format_metric_value(each.metrics.get(name), name) for name in shown)]
            for each in report.labels
        ],
    )


def main() -> None:
    report = report_from_json(json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8")))
    for part in (render_arms, render_differences, render_labels):
        print(part(report), end="\n\n")
    for note in report.notes:
        print(f"- {note}")


if __name__ == "__main__":
    main()
