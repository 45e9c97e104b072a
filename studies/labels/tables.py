"""One study's arms over several seeds, as Markdown: python studies/labels/tables.py gold_reward runs/labels-starter-*

The first argument is the figure. Differences are paired by test row within a seed; their intervals speak of other seeds and
other rows at once (`statistics.across_seeds_and_rows`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.run_comparison.seeds import aggregate_over_seeds
from trimtab.report.run_reader import Run
from trimtab.types import Metric

BASELINES = ("weak", "flipped")
# Rows that are not students on labels.
SKIPPED_ROWS = ("weak_model",)


def format_metric_value(metric: Metric | None, *, signed: bool = False) -> str:
    if metric is None or metric.value is None:
        return ""
    mark = "+" if signed else ""
    bounds = "" if metric.low is None else f" [{metric.low:{mark}.3f}, {metric.high:{mark}.3f}]"
    return f"{metric.value:{mark}.3f}{bounds}"


def format_label_metrics(folders: Sequence[Path], arm: str) -> tuple[str, str]:
    """Mean agreement and coverage of an arm's labels over the seeds."""
    reports = [
        json.loads((folder / "report.json").read_text(encoding="utf-8"))["labels"].get(arm) for folder in folders
    ]
    if not all(reports):
        return "", ""
    means = [sum(each[name]["value"] for each in reports) / len(reports) for name in ("agreement", "coverage")]
    return f"{means[0]:.3f}", f"{means[1]:.2f}"


def main() -> None:
    metric, *paths = sys.argv[1:]
    folders = [Path(each) for each in paths]
    runs = [Run(folder) for folder in folders]
    prompts = {pair.id: pair.prompt_id for pair in runs[0].test}
    found = [
        each for each in aggregate_over_seeds([load_arm_values(run) for run in runs], prompts) if each.metric == metric
    ]
    head = ["arm", "labels right", "coverage", metric, "between seeds", *(f"minus {each}" for each in BASELINES)]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for each in found:
        if each.arm not in SKIPPED_ROWS:
            leads = [format_metric_value(each.leads.get(other), signed=True) for other in BASELINES]
            spread = "" if each.spread.value is None else f"{each.spread.value:.3f}"
            print(
                "| "
                + " | ".join(
                    [
                        f"`{each.arm}`",
                        *format_label_metrics(folders, each.arm),
                        format_metric_value(each.mean),
                        spread,
                        *leads,
                    ]
                )
                + " |"
            )
    print(f"\n{len(folders)} seeds, {found[0].mean.n if found else 0} test rows in each")


if __name__ == "__main__":
    main()
