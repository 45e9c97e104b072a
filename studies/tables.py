"""A finished run's figures as Markdown: python studies/tables.py runs/hh-helpful

Arms, their paired differences to the reference rows, labels, and what the rewards are worth, all from the run's report.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.report.metrics import metric_info, written
from trimtab.report.model import Report, from_json
from trimtab.report.rewards import shown_as
from trimtab.types import Metric

ARMS = (
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
DIFFERENCES = ("gold_reward", "accuracy")
LABELS = (
    *("agreement", "coverage", "kappa", "calibration_error", "length_correlation"),
    *("order_flips", "cut_short", "said_of_others"),
)


def told(metric: Metric | None, name: str, *, signed: bool = False) -> str:
    return "" if metric is None else " ".join(written(metric, metric_info(name), signed=signed)).strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def titled(report: Report, name: str, counts: Sequence[int]) -> str:
    label = metric_info(shown_as(name, report.rewards)).label
    return f"{label}, n = {' or '.join(map(str, sorted(set(counts))))}"


def arms(report: Report) -> str:
    shown = [name for name in ARMS if any(name in arm.metrics for arm in report.arms)]
    counts = {name: [arm.metrics[name].n for arm in report.arms if name in arm.metrics] for name in shown}
    head = ["arm", *(titled(report, name, counts[name]) for name in shown)]
    return table(
        head, [[f"`{arm.name}`", *(told(arm.metrics.get(name), name) for name in shown)] for arm in report.arms]
    )


def differences(report: Report) -> str:
    found = {(each.arm, each.against, each.metric): each.difference for each in report.comparisons}
    pairs = dict.fromkeys((arm, against) for arm, against, metric in found if metric in DIFFERENCES)
    shown = [name for name in DIFFERENCES if any(metric == name for _, _, metric in found)]
    head = ["", *(metric_info(shown_as(name, report.rewards)).label for name in shown)]
    rows = [
        [f"`{arm}` minus `{against}`", *(told(found.get((arm, against, name)), name, signed=True) for name in shown)]
        for arm, against in pairs
    ]
    return table(head, rows)


def labels(report: Report) -> str:
    shown = [name for name in LABELS if any(name in each.metrics for each in report.labels)]
    head = ["labels", *(metric_info(name).label for name in shown)]
    return table(
        head, [[f"`{each.arm}`", *(told(each.metrics.get(name), name) for name in shown)] for each in report.labels]
    )


def main() -> None:
    report = from_json(json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8")))
    for part in (arms, differences, labels):
        print(part(report), end="\n\n")
    for note in report.notes:
        print(f"- {note}")


if __name__ == "__main__":
    main()
