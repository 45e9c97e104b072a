"""Prints SEAM's tables 1 to 3 from finished runs as Markdown.

python studies/seam2025/tables.py runs/seam-harmless runs/seam-helpful

The second run is optional. Each run is shown next to the paper's value for the closest dataset (HH-RLHF harmless-base,
helpful-base), in percent. The paper gives no intervals.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trimtab.report.run_reader import Run
from trimtab.stats import paired_difference
from trimtab.types import Annotation, Pair

# By arm: the name in the paper, then accuracy and PGR in its table 1 on harmless and helpful.
STUDENTS = {
    "weak_model": ("Weak", (44.5, 0), (61.1, 0)),
    "weak": ("Naive", (38.7, -30), (66.6, 64)),
    "uncertainty": ("Uncertain filter", (38.9, -29), (66.6, 64)),
    "self_reward": ("Self-reward", (42.4, -11), (68.5, 87)),
    "ensemble": ("Ensemble", (42.2, -12), (67.8, 78)),
    "aux_confidence": ("Auxiliary confidence", (41.3, -16), (67.9, 80)),
    "consistency": ("Weak-strong consistency", (41.1, -17), (67.9, 80)),
    "consultancy": ("Consultancy", (40.8, -19), (67.3, 73)),
    "debate": ("Debate", (37.5, -36), (67.3, 73)),
    "seam_all": ("SEAM without its filter", (47.2, 14), (68.3, 85)),
    "seam": ("SEAM", (50.2, 29), (68.6, 88)),
    "human": ("Ceiling (human labels)", (64.1, 100), (69.6, 100)),
    "flipped": ("Human labels, flipped at the error rate of the weak ones", None, None),
    "base": ("Untrained", None, None),
}
# By arm: the name in the paper, then the accuracy of the retained labels in its tables 2 and 3 on harmless and helpful.
LABELS = {
    "weak": ("Naive", 42.6, 60.2),
    "uncertainty": ("Uncertain filter", 38.2, 66.8),
    "self_reward": ("Self-reward", 45.2, 66.3),
    "ensemble": ("Ensemble", 44.6, 64.3),
    "aux_confidence": ("Auxiliary confidence", 44.1, 63.9),
    "consistency": ("Weak-strong consistency", 40.5, 69.7),
    "consultancy": ("Consultancy", 44.5, 61.6),
    "debate": ("Debate", 46.7, 55.5),
    "seam": ("SEAM", 57.8, 67.2),
    "seam_all": ("– without its filter", 51.0, 66.0),
    "seam_no_backtracking": ("– and without backtracking", 49.8, 65.9),
    "seam_no_thoughts": ("– and without thoughts", 45.6, 66.4),
    "seam_no_tree": ("– without the tree", 44.8, 54.5),
    "seam_override": ("– without its filter, strong override", "", ""),
}


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


def render_students(report: dict[str, Any], run: Run, dataset: int) -> str:
    """Accuracy, PGR and order inconsistency, and how many choices of each student a rule of length would share."""
    rows = []
    shorter = find_shorter(run.test)
    same_as_shorter = {
        arm.name: count_same_choices(run.annotations(arm.predictions), shorter) for arm in run.arms if arm.predictions
    }
    for arm, (name, *paper) in STUDENTS.items():
        metrics = report["arms"].get(arm)
        if metrics is not None:
            published = paper[dataset]
            paper_cells = ["", ""] if published is None else [str(value) for value in published]
            values = [format_percent(metrics.get(key)) for key in ("accuracy", "pgr", "order_inconsistency")]
            rows.append([name, *values, same_as_shorter.get(arm, ""), *paper_cells])
    counts = {metrics["accuracy"]["n"] for metrics in report["arms"].values() if "accuracy" in metrics}
    head = [
        "labels from",
        f"accuracy, n = {' or '.join(map(str, sorted(counts)))}",
        "PGR",
        "order inconsistency",
        "chooses the shorter",
        "paper",
        "paper, PGR",
    ]
    return f"{render_table(head, rows)}\n\n{format_human_share(run.test, shorter)}"


def render_labels(report: dict[str, Any], dataset: int) -> str:
    rows = []
    for arm, (name, *paper) in LABELS.items():
        metrics = report["labels"].get(arm)
        if metrics is not None:
            cost = report["label_info"][arm]["cost"]
            keys = ("calls", "prompt_tokens", "cached_tokens", "generated_tokens")
            rows.append(
                [
                    name,
                    format_percent(metrics.get("agreement")),
                    format_percent(metrics.get("coverage")),
                    format_percent(metrics.get("agreement_before_filter") or metrics.get("agreement")),
                    format_percent(metrics.get("order_inconsistency")),
                    format_percent(metrics.get("truncation_rate")),
                    format_percent(metrics.get("duplicate_text_rate")),
                    *(f"{cost.get(key, 0):,}" for key in keys),
                    f"{paper[dataset]}",
                ]
            )
    head = [
        "labels from",
        "accuracy, retained",
        "coverage",
        "accuracy, all",
        "order inconsistency",
        "truncated",
        "duplicate explanations",
        "calls",
        "prompt tokens",
        "cached",
        "generated",
        "paper, retained",
    ]
    return render_table(head, rows)


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
    rows = []
    for name, arm_labels in labels.items():
        difference = "" if name == "weak" else format_percent(asdict(paired_difference(correct[name], correct["weak"])))
        same_as = [
            count_same_choices(arm_labels, {key: label.choice for key, label in labels[other].items()})
            for other in ("weak", "self_reward")
        ]
        rows.append([LABELS[name][0], difference, count_same_choices(arm_labels, shorter), *same_as])
    head = [
        "labels from",
        "accuracy, all, minus naive, paired",
        "chooses the shorter",
        "same as naive",
        "same as self-reward",
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
    for dataset, folder in enumerate(sys.argv[1:3]):
        report, run = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8")), Run(Path(folder))
        print(
            f"### {('Harmless', 'Helpful')[dataset]}\n\nStudents (table 1)\n\n{render_students(report, run, dataset)}\n"
        )
        print(f"Labels (tables 2 and 3)\n\n{render_labels(report, dataset)}\n")
        print(f"Labels, pair by pair\n\n{render_paired_labels(run)}\n")
        print(f"Search trees\n\n{render_search_trees(report)}\n")


if __name__ == "__main__":
    main()
