"""One study's arms over several seeds, as Markdown: python studies/labels/tables.py gold_reward runs/labels-starter-*

The first argument is the figure. Differences are paired by test row within a seed; their intervals speak of other seeds and
other rows at once (`statistics.across_seeds_and_rows`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab.report.collect import Rows, rows_by_arm
from trimtab.report.folder import Run
from trimtab.statistics import across_seeds_and_rows
from trimtab.types import Metric

Seeds = Sequence[Mapping[str, Rows]]
AGAINST = ("weak", "flipped")
# Rows that are not students on labels.
SKIPPED = ("weak_model",)


def figures(seeds: Seeds, arm: str, metric: str, less: str | None = None) -> Metric | None:
    """An arm's figure over seeds and rows, or its lead over another arm's in the same seed; None where one has none."""
    if not all(metric in rows[name].values for rows in seeds for name in (arm, *([less] if less else []))):
        return None
    runs = []
    for rows in seeds:
        ours, theirs = rows[arm].values[metric], rows[less].values[metric] if less else {}
        runs.append({key: value - theirs.get(key, 0.0) for key, value in ours.items() if not less or key in theirs})
    return across_seeds_and_rows(runs)


def told(metric: Metric | None, *, signed: bool = False) -> str:
    if metric is None or metric.value is None:
        return ""
    mark = "+" if signed else ""
    bounds = "" if metric.low is None else f" [{metric.low:{mark}.3f}, {metric.high:{mark}.3f}]"
    return f"{metric.value:{mark}.3f}{bounds}"


def labels(folders: Sequence[Path], arm: str) -> tuple[str, str]:
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
    seeds = [rows_by_arm(Run(folder)) for folder in folders]
    arms = [name for name in seeds[0] if name not in SKIPPED and figures(seeds, name, metric)]
    first = figures(seeds, arms[0], metric)
    head = ["arm", "labels right", "coverage", metric, *(f"minus {each}" for each in AGAINST)]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for arm in arms:
        leads = [told(figures(seeds, arm, metric, each), signed=True) if arm != each else "" for each in AGAINST]
        print("| " + " | ".join([arm, *labels(folders, arm), told(figures(seeds, arm, metric)), *leads]) + " |")
    print(f"\n{len(folders)} seeds, {first.n if first else 0} test rows in each")


if __name__ == "__main__":
    main()
