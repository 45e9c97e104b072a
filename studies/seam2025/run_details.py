"""Prints what is behind the tables of one finished run as Markdown: costs, length, pair by pair differences, search trees.

python studies/seam2025/run_details.py runs/seam-tables/am
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from trimtab.report.run_reader import Run
from trimtab.stats import paired_difference
from trimtab.types import Annotation, Pair

PUBLISHED: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
STUDENTS = {arm: row["name"] for arm, row in PUBLISHED["table1"].items()}
LABELS = {arm: row["name"] for table in ("table2", "table3") for arm, row in PUBLISHED[table].items()}


def format_percent(metric: dict[str, Any] | None) -> str:
    """A metric in percent with its interval."""
    if metric is None or metric["value"] is None:
        return "undefined" if metric is not None else ""
    low, high = metric["low"], metric["high"]
    interval = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * metric['value']:.1f}{interval}"


def render_table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def render_students(report: dict[str, Any], run: Run) -> str:
    """How often each student contradicts itself, and how many of its choices a rule of length would share."""
    shorter = find_shorter(run.test)
    rows = []
    for arm in run.arms:
        metrics = report["arms"].get(arm.name, {})
        if arm.predictions and "accuracy" in metrics:
            values = [format_percent(metrics.get(key)) for key in ("accuracy", "order_inconsistency")]
            same = count_same_choices(run.annotations(arm.predictions), shorter)
            rows.append([STUDENTS.get(arm.name, f"`{arm.name}`"), *values, same])
    head = ["labels from", "accuracy", "order inconsistency", "chooses the shorter"]
    return f"{render_table(head, rows)}\n\n{format_human_share(run.test, shorter)}"


def render_labels(report: dict[str, Any]) -> str:
    """The labels before and after their filters, and what they cost."""
    keys = ("agreement", "coverage", "agreement_before_filter", "order_inconsistency", "truncation_rate")
    costs = ("calls", "prompt_tokens", "cached_tokens", "generated_tokens")
    rows = []
    for arm, metrics in report["labels"].items():
        values = {
            **metrics,
            "agreement_before_filter": metrics.get("agreement_before_filter") or metrics.get("agreement"),
        }
        cost = report["label_info"][arm]["cost"]
        rows.append(
            [
                LABELS.get(arm, f"`{arm}`"),
                *(format_percent(values.get(key)) for key in (*keys, "duplicate_text_rate")),
                *(f"{cost.get(key, 0):,}" for key in costs),
            ]
        )
    head = ["labels from", "accuracy, retained", "coverage", "accuracy, all", "order inconsistency", "truncated"]
    return render_table([*head, "duplicate explanations", "calls", "prompt tokens", "cached", "generated"], rows)


def find_shorter(pairs: Sequence[Pair]) -> dict[str, str]:
    return {pair.id: "a" if len(pair.a) < len(pair.b) else "b" for pair in pairs}


def format_human_share(pairs: Sequence[Pair], shorter: Mapping[str, str]) -> str:
    count = sum(pair.human == shorter[pair.id] for pair in pairs)
    return f"Human annotators prefer the shorter response in {count} of {len(pairs)} pairs."


def render_paired_labels(run: Run) -> str:
    """The labels of each arm without a filter compared with the naive ones, pair by pair. No choice counts as half correct."""
    human = {pair.id: pair.human for pair in run.unlabeled}
    stages = {arm.name: arm.labels or "" for arm in run.arms if arm.name in LABELS}
    labels = {name: run.annotations(stage) for name, stage in stages.items() if stage.startswith("annotate.")}
    correct = {
        name: {
            key: 0.5 if label.choice is None else float(label.choice == human[key]) for key, label in arm_labels.items()
        }
        for name, arm_labels in labels.items()
    }
    shorter = find_shorter(run.unlabeled)
    others = [name for name in ("weak", "self_reward") if name in labels]
    rows = []
    for name, arm_labels in labels.items():
        difference = "" if name == "weak" else format_percent(asdict(paired_difference(correct[name], correct["weak"])))
        same_as = [
            count_same_choices(arm_labels, {key: label.choice for key, label in labels[other].items()})
            for other in others
        ]
        rows.append([LABELS[name], difference, count_same_choices(arm_labels, shorter), *same_as])
    head = [
        "labels from",
        "accuracy, all, minus naive, paired",
        "chooses the shorter",
        *(f"same as {LABELS[name]}" for name in others),
    ]
    return f"{render_table(head, rows)}\n\n{format_human_share(run.unlabeled, shorter)}"


def count_same_choices(labels: Mapping[str, Annotation], choices: Mapping[str, str | None]) -> str:
    """The number of pairs for which the labels choose the same response, out of all pairs."""
    count = sum(label.choice is not None and label.choice == choices[key] for key, label in labels.items())
    return f"{count} of {len(labels)}"


def render_search_trees(report: dict[str, Any]) -> str:
    """Summary of the search trees, one row per annotator."""
    rows = []
    for search in report["searches"]:
        metrics, shares = search["metrics"], list(search["principle_shares"].items())
        levels = [f"{level['level']}: {level['information']['value']:.4f}" for level in search["levels"]]
        rows.append(
            [
                ", ".join(search["arms"]),
                ", ".join(f"{depth}: {count}" for depth, count in search["depth_counts"].items()),
                format_percent(metrics["backtrack_rate"]),
                format_percent(metrics["strong_decision_rate"]),
                "; ".join(levels),
                ", ".join(f"{name} {format_percent(share)}" for name, share in shares[:3]),
            ]
        )
    head = [
        "arms",
        "trees by depth",
        "backtracked",
        "labeled by strong model",
        "information per level, bits",
        "most frequent principles",
    ]
    return render_table(head, rows)


def main() -> None:
    folder = Path(sys.argv[1])
    file = folder / "report.json"
    if not file.is_file():
        sys.exit(f"error: {folder} has no report.json; finish the run first, with the command that started it")
    report, run = json.loads(file.read_text(encoding="utf-8")), Run(folder)
    print(f"**Students**\n\n{render_students(report, run)}\n")
    print(f"**Labels**\n\n{render_labels(report)}\n")
    print(f"**Labels, pair by pair**\n\n{render_paired_labels(run)}\n")
    print(f"**Search trees**\n\n{render_search_trees(report)}")


if __name__ == "__main__":
    main()
