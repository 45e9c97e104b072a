"""Prints a study's arms over several seeds as Markdown: python studies/labels/seed_tables.py gold_reward runs/labels-starter-*

The first argument is the metric. Differences are paired by test row within a seed; their intervals cover other seeds and other
rows (`stats.mean_over_seeds_and_rows`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.run_comparison.seeds import aggregate_over_seeds, have_same_test_pairs
from trimtab.report.run_reader import Run
from trimtab.types import Metric

BASELINES = ("weak", "flipped")
# Rows that are not students trained on labels.
SKIPPED_ROWS = ("weak_model",)


def format_metric_value(metric: Metric | None, *, signed: bool = False) -> str:
    if metric is None or metric.value is None:
        return ""
    sign = "+" if signed else ""
    bounds = "" if metric.low is None else f" [{metric.low:{sign}.3f}, {metric.high:{sign}.3f}]"
    return f"{metric.value:{sign}.3f}{bounds}"


def format_label_metrics(folders: Sequence[Path], arm: str) -> tuple[str, str]:
    """Mean agreement and coverage of an arm's labels over the seeds."""
    reports = [
        json.loads((folder / "report.json").read_text(encoding="utf-8"))["labels"].get(arm) for folder in folders
    ]
    if not all(reports):
        return "", ""
    means = [sum(report[name]["value"] for report in reports) / len(reports) for name in ("agreement", "coverage")]
    return f"{means[0]:.3f}", f"{means[1]:.2f}"


def main() -> None:
    metric, *paths = sys.argv[1:]
    folders = [Path(path) for path in paths]
    runs = [Run(folder) for folder in folders]
    prompts = {pair.id: pair.prompt_id for pair in runs[0].test}
    aggregates = aggregate_over_seeds(
        [load_arm_values(run) for run in runs],
        prompts,
        shared_test_pairs=have_same_test_pairs([run.test for run in runs]),
    )
    shown = [aggregate for aggregate in aggregates if aggregate.metric == metric]
    head = ["arm", "label accuracy", "coverage", metric, "SD across seeds", *(f"minus {name}" for name in BASELINES)]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for aggregate in shown:
        if aggregate.arm not in SKIPPED_ROWS:
            cells = [
                f"`{aggregate.arm}`",
                *format_label_metrics(folders, aggregate.arm),
                format_metric_value(aggregate.mean),
                "" if aggregate.std.value is None else f"{aggregate.std.value:.3f}",
                *(format_metric_value(aggregate.differences.get(name), signed=True) for name in BASELINES),
            ]
            print("| " + " | ".join(cells) + " |")
    print(f"\n{len(folders)} seeds, {shown[0].mean.n if shown else 0} test rows in each")


if __name__ == "__main__":
    main()
