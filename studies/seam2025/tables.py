"""SEAM's tables 1 to 3 from finished runs, as Markdown: python studies/seam2025/tables.py runs/seam-harmless runs/seam-helpful

The harmless run alone will do. Beside each run stands the paper's figure for its nearest set (HH-RLHF harmless-base,
helpful-base), in percent, without an interval, since the paper gives none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.report.run_reader import Run
from trimtab.stats import paired_difference
from trimtab.types import Annotation, Metric, Pair

# The paper's name of an arm: its name here; accuracy and PGR of table 1 on (harmless, helpful).
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
    "flipped": ("Human labels, flipped as often as weak ones err", None, None),
    "base": ("Untrained", None, None),
}
# The same for tables 2 and 3: accuracy of the labels that are kept.
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


def format_percent(metric: dict[str, Any] | None, scale: float = 100) -> str:
    """A figure in percent with its interval."""
    if metric is None or metric["value"] is None:
        return "undefined" if metric is not None else ""
    low, high = metric["low"], metric["high"]
    between = "" if low is None else f" [{scale * low:.1f}, {scale * high:.1f}]"
    return f"{scale * metric['value']:.1f}{between}"


def render_table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def render_students(report: dict[str, Any], run: Run, side: int) -> str:
    """Accuracy, gap recovered and order flips, and what a rule of length would share with each student's choices."""
    rows = []
    shorter = find_shorter(run.test)
    chosen = {
        arm["name"]: count_same_choices(run.annotations(arm["predictions"]), shorter)
        for arm in run.arms
        if arm["predictions"]
    }
    for arm, (name, *paper) in STUDENTS.items():
        found = report["arms"].get(arm)
        if found is not None:
            said = paper[side]
            told = ["", ""] if said is None else [str(each) for each in said]
            figures = [format_percent(found.get(each)) for each in ("accuracy", "pgr", "order_flips")]
            rows.append([name, *figures, chosen[arm], *told])
    rows_told = {found["accuracy"]["n"] for found in report["arms"].values() if "accuracy" in found}
    head = [
        "labels of",
        f"accuracy, n = {' or '.join(map(str, sorted(rows_told)))}",
        "gap recovered",
        "order flips",
        "names the shorter",
        "paper",
        "paper, gap",
    ]
    return f"{render_table(head, rows)}\n\n{format_human_share(run.test, shorter)}"


def render_labels(report: dict[str, Any], side: int) -> str:
    rows = []
    for arm, (name, *paper) in LABELS.items():
        found = report["labels"].get(arm)
        if found is not None:
            cost = report["labels_about"][arm]["cost"]
            spent = [f"{cost.get(key, 0):,}" for key in ("calls", "prompt_tokens", "reused_tokens", "generated_tokens")]
            rows.append(
                [
                    name,
                    format_percent(found.get("agreement")),
                    format_percent(found.get("coverage")),
                    format_percent(found.get("agreement_all") or found.get("agreement")),
                    format_percent(found.get("order_flips")),
                    format_percent(found.get("cut_short")),
                    format_percent(found.get("said_of_others")),
                    *spent,
                    f"{paper[side]}",
                ]
            )
    head = [
        "labels of",
        "accuracy, kept",
        "coverage",
        "accuracy, all",
        "order flips",
        "cut short",
        "said of others",
        "calls",
        "tokens read",
        "reused",
        "written",
        "paper, kept",
    ]
    return render_table(head, rows)


def find_shorter(pairs: Sequence[Pair]) -> dict[str, str]:
    return {pair.id: "a" if len(pair.a) < len(pair.b) else "b" for pair in pairs}


def format_human_share(pairs: Sequence[Pair], shorter: Mapping[str, str]) -> str:
    count = sum(pair.human == shorter[pair.id] for pair in pairs)
    return f"People name the shorter response of {count} of {len(pairs)} pairs."


def render_paired_labels(run: Run) -> str:
    """The labels of each arm without a filter against the naive ones, pair by pair; no choice is half right."""
    human = {pair.id: pair.human for pair in run.unlabeled}
    given = {arm["name"]: arm["labels"] or "" for arm in run.arms if arm["name"] in LABELS}
    made = {name: run.annotations(stage) for name, stage in given.items() if stage.startswith("annotate.")}
    right = {
        name: {key: 0.5 if each.choice is None else float(each.choice == human[key]) for key, each in labels.items()}
        for name, labels in made.items()
    }
    shorter = find_shorter(run.unlabeled)
    rows = [
        [
            LABELS[name][0],
            "" if name == "weak" else format_percent(to_dict(paired_difference(right[name], right["weak"]))),
            count_same_choices(labels, shorter),
            *(
                count_same_choices(labels, {key: each.choice for key, each in made[other].items()})
                for other in ("weak", "self_reward")
            ),
        ]
        for name, labels in made.items()
    ]
    head = [
        "labels of",
        "accuracy, all, minus the naive ones', paired",
        "names the shorter",
        "as naive",
        "as self-reward",
    ]
    return f"{render_table(head, rows)}\n\n{format_human_share(run.unlabeled, shorter)}"


def count_same_choices(labels: Mapping[str, Annotation], choices: Mapping[str, str | None]) -> str:
    """In how many of all pairs the labels name the same response."""
    return f"{sum(each.choice is not None and each.choice == choices[key] for key, each in labels.items())} of {len(labels)}"


def to_dict(metric: Metric) -> dict[str, Any]:
    return {"value": metric.value, "low": metric.low, "high": metric.high}


def render_search_trees(report: dict[str, Any]) -> str:
    """What the searched trees have in common, a line each."""
    rows = []
    for found in report["searches"]:
        figures, depths = found["figures"], found["depths"]
        first = ", ".join(f"{name} {format_percent(share)}" for name, share in list(found["principles"].items())[:3])
        rows.append(
            [
                ", ".join(found["arms"]),
                ", ".join(f"{depth}: {count}" for depth, count in depths.items()),
                format_percent(figures["backtracked"]),
                format_percent(figures["strong_decided"]),
                "; ".join(f"{level['level']}: {level['information']['value']:.4f}" for level in found["levels"]),
                first,
            ]
        )
    head = [
        "arms",
        "trees of each depth",
        "went back",
        "strong decided",
        "bits told at each level",
        "principles most often kept",
    ]
    return render_table(head, rows)


def main() -> None:
    for side, folder in enumerate(sys.argv[1:3]):
        report, run = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8")), Run(Path(folder))
        print(f"### {('Harmless', 'Helpful')[side]}\n\nStudents (table 1)\n\n{render_students(report, run, side)}\n")
        print(f"Labels (tables 2 and 3)\n\n{render_labels(report, side)}\n")
        print(f"Labels, pair by pair\n\n{render_paired_labels(run)}\n")
        print(f"Searches\n\n{render_search_trees(report)}\n")


if __name__ == "__main__":
    main()
