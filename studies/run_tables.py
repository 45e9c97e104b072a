"""Prints the results of a finished run as Markdown: python studies/run_tables.py runs/hh-helpful

Shows the metrics of all arms, paired differences between arms, label metrics, and notes, all from the run's report.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.report.collect.rewards import display_metric_name
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, report_from_json
from trimtab.report.value_format import format_value
from trimtab.types import Metric

ROW_METRICS = (
    "gold_reward",
    "accuracy",
    "length",
    "eos_rate",
    "refusal_rate",
    "distinct_2",
    "kl_to_reference",
    "overconfident_error_rate",
    "order_inconsistency",
)
DIFFERENCE_METRICS = ("gold_reward", "accuracy")
LABEL_METRICS = (
    *("agreement", "coverage", "kappa", "calibration_error", "length_correlation"),
    *("order_inconsistency", "truncation_rate", "duplicate_text_rate"),
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
    names = [name for name in ROW_METRICS if any(name in arm.metrics for arm in report.arms)]
    counts = {name: [arm.metrics[name].n for arm in report.arms if name in arm.metrics] for name in names}
    head = ["arm", *(format_column_title(report, name, counts[name]) for name in names)]
    rows = [
        [f"`{arm.name}`", *(format_metric_value(arm.metrics.get(name), name) for name in names)] for arm in report.arms
    ]
    return render_table(head, rows)


def render_differences(report: Report) -> str:
    differences = {
        (comparison.arm, comparison.baseline, comparison.metric): comparison.difference
        for comparison in report.comparisons
    }
    pairs = dict.fromkeys((arm, baseline) for arm, baseline, metric in differences if metric in DIFFERENCE_METRICS)
    names = [name for name in DIFFERENCE_METRICS if any(metric == name for _, _, metric in differences)]
    head = ["", *(get_metric_info(display_metric_name(name, report.rewards)).label for name in names)]
    rows = [
        [
            f"`{arm}` minus `{baseline}`",
            *(format_metric_value(differences.get((arm, baseline, name)), name, signed=True) for name in names),
        ]
        for arm, baseline in pairs
    ]
    return render_table(head, rows)


def render_labels(report: Report) -> str:
    names = [name for name in LABEL_METRICS if any(name in labels.metrics for labels in report.labels)]
    head = ["labels", *(get_metric_info(name).label for name in names)]
    rows = [
        [f"`{labels.arm}`", *(format_metric_value(labels.metrics.get(name), name) for name in names)]
        for labels in report.labels
    ]
    return render_table(head, rows)


def main() -> None:
    report = report_from_json(json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8")))
    for render in (render_arms, render_differences, render_labels):
        print(render(report), end="\n\n")
    for note in report.notes:
        print(f"- {note}")


if __name__ == "__main__":
    main()
