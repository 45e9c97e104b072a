"""Answers the five questions of the headline run: python studies/headline/answers.py docs/results/headline/*

The arguments are folders that `save_results.py` has written; pieces and seeds in any number. Prints, for each objective, the
accuracies, the label worths and an answer to every question that the pieces can answer. docs/results/headline.md has the rules.
`--pictures DIR` also draws the learning curve of each objective, with the arms on weak labels as horizontal lines.

A difference of two arms is a contrast of all arms of the run, over rows and seeds; its interval is that of the label worth
(`stats.label_worth.compute_half_widths`): the variance between seeds is pooled over all arms.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.report.collect.label_worth import CurvePoint, LabelWorthInfo
from trimtab.report.page.learning_curve_figure import draw_learning_curve
from trimtab.report.text.label_worth import format_label_worth
from trimtab.stats.clusters import FloatArray, sum_by_cluster
from trimtab.stats.label_worth import LabelWorth, compute_half_widths, compute_label_worth

MIN_WORTH = 1500
MAX_LOSS = 0.01
# An arm, the arm that it is compared with, and the difference above which the answer is yes.
COMPARISONS = {
    "2. within 1 point of all human labels": ("weak", "human", -MAX_LOSS),
    "3. above random flips at equal agreement": ("weak", "flipped", 0.0),
    "4. weighting above hard labels": ("weighted", "weak", 0.0),
    "5. the student above its weak teacher": ("weak", "weak_model", 0.0),
}
SHARED = ("settings", "pairs")
# Students on human labels, and the teacher, have no label worth.
TEACHER = "weak_model"
METRIC = "accuracy"
WEAK_LABELS = 500
NO_ANSWER = "one seed"


@dataclass(frozen=True)
class Results:
    """All arms that every seed has: `values` has the shape (pairs, arms, seeds)."""

    objective: str
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    values: FloatArray
    prompts: Sequence[int]
    similar_length: FloatArray
    human_labels: Mapping[str, int]

    def select(self, rows: FloatArray) -> Results:
        kept = rows.astype(bool)
        prompts = [prompt for prompt, keep in zip(self.prompts, kept, strict=True) if keep]
        return Results(
            objective=self.objective,
            seeds=self.seeds,
            arms=self.arms,
            values=self.values[kept],
            prompts=prompts,
            similar_length=self.similar_length[kept],
            human_labels=self.human_labels,
        )


def load_pieces(folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """The saved values by objective, the first word of the name of a piece."""
    pieces: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        piece = json.loads(gzip.decompress((folder / "values.json.gz").read_bytes()))
        pieces.setdefault(folder.resolve().name.partition("-")[0], []).append(piece)
    return pieces


def merge_pieces(objective: str, pieces: Sequence[Mapping[str, Any]]) -> Results:
    """Joins the arms of all pieces of a seed, and stacks the seeds. An arm of several pieces is taken from the first.

    Raises `ValueError` if pieces differ in their settings or test pairs, or no arm is in all seeds.
    """
    first = pieces[0]
    for piece in pieces:
        for key in SHARED:
            if piece[key] != first[key]:
                raise ValueError(f"{objective}: {piece['study']} and {first['study']} have different {key}")
    by_seed: dict[int, dict[str, Sequence[float]]] = {}
    human_labels: dict[str, int] = {}
    for piece in pieces:
        arms = by_seed.setdefault(piece["seed"], {})
        for arm, values in piece["accuracy"].items():
            arms.setdefault(arm, values)
        human_labels |= piece["human_labels"]
    seeds = sorted(by_seed)
    shared = [arm for arm in by_seed[seeds[0]] if all(arm in by_seed[seed] for seed in seeds)]
    if not shared:
        raise ValueError(f"{objective}: no arm is in all seeds {seeds}")
    columns = [[by_seed[seed][arm] for seed in seeds] for arm in shared]
    return Results(
        objective=objective,
        seeds=tuple(seeds),
        arms=tuple(shared),
        values=np.asarray(columns, dtype=np.float64).transpose(2, 0, 1),
        prompts=first["prompts"],
        similar_length=np.asarray(first["similar_length"], dtype=np.float64),
        human_labels=human_labels,
    )


def compare(results: Results, arm: str, baseline: str) -> tuple[float, float, float]:
    """The difference of two arms' accuracies and its 95% interval."""
    n_rows, n_arms, n_seeds = results.values.shape
    sums = sum_by_cluster(results.values.reshape(n_rows, -1), results.prompts)
    means = sums[:, :-1].sum(axis=0).reshape(n_arms, n_seeds) / n_rows
    contrast = np.zeros((1, n_arms))
    contrast[0, results.arms.index(arm)], contrast[0, results.arms.index(baseline)] = 1.0, -1.0
    half_width = float(compute_half_widths(contrast, sums, means)[0])
    value = float((contrast @ means.mean(axis=1))[0])
    return value, value - half_width, value + half_width


def list_curve_points(results: Results) -> list[CurvePoint]:
    """The students on human labels, by their number."""
    counts = sorted((count, name) for name, count in results.human_labels.items() if name in results.arms)
    return [CurvePoint(arm=name, num_labels=count, value=_mean(results, name)) for count, name in counts]


def measure_worth(results: Results, arm: str) -> LabelWorth | None:
    """None for a student on human labels, for the teacher, and if fewer than two numbers of human labels are in all seeds."""
    curve = list_curve_points(results)
    if len(curve) < 2 or arm in {TEACHER, *results.human_labels}:
        return None
    columns = [results.arms.index(name) for name in (arm, *(point.arm for point in curve))]
    counts = [point.num_labels for point in curve]
    return compute_label_worth(results.values[:, columns], counts, clusters=results.prompts)


def draw_pictures(results: Results, folder: Path) -> None:
    """Writes the learning curve with the worth of every other arm, unless there is none."""
    curve = tuple(list_curve_points(results))
    infos = [
        LabelWorthInfo(
            arm=arm, metric=METRIC, value=_mean(results, arm), worth=worth, curve=curve, labels_used=WEAK_LABELS
        )
        for arm in results.arms
        if (worth := measure_worth(results, arm))
    ]
    if infos:
        (folder / f"headline-{results.objective}.svg").write_text(draw_learning_curve(infos), encoding="utf-8")


def answer_worth(worth: LabelWorth) -> str:
    """Yes if the whole interval is at 1,500 human labels or more, no if it is below, else undecided."""
    if worth.low is not None and worth.low >= MIN_WORTH:
        return "yes"
    return "no" if worth.high is not None and worth.high < MIN_WORTH else "undecided"


def answer_difference(low: float, high: float, threshold: float) -> str:
    """Yes if the whole interval is above the threshold, no if it is below, else undecided."""
    if low > threshold:
        return "yes"
    return "no" if high < threshold else "undecided"


def format_answers(results: Results) -> str:
    n_seeds, similar = len(results.seeds), results.select(results.similar_length)
    lines = [
        f"## {results.objective}: seeds {', '.join(map(str, results.seeds))}, {len(results.values):,} test pairs",
        "",
    ]
    lines += [
        f"| arm | accuracy | similar length, n = {len(similar.values)} | minus human | label worth |",
        "|---|---|---|---|---|",
    ]
    for index, arm in enumerate(results.arms):
        cells = [f"`{arm}`", *(f"{each.values[:, index].mean():.3f}" for each in (results, similar))]
        cells.append(_format_difference(results, arm, "human") if arm != "human" and "human" in results.arms else "")
        worth = measure_worth(results, arm)
        lines.append("| " + " | ".join([*cells, "" if worth is None else str(format_label_worth(worth))]) + " |")
    lines += ["", "| question | measured | answer |", "|---|---|---|"]
    worth = measure_worth(results, "weak") if "weak" in results.arms else None
    question = f"1. weak labels are worth at least {MIN_WORTH:,} human labels"
    lines.append(
        f"| {question} | {format_label_worth(worth)} | {answer_worth(worth) if n_seeds > 1 else NO_ANSWER} |"
        if worth
        else f"| {question} | | not run yet |"
    )
    for question, (arm, baseline, threshold) in COMPARISONS.items():
        if {arm, baseline} <= set(results.arms):
            _, low, high = compare(results, arm, baseline)
            difference = _format_difference(results, arm, baseline)
            decision = answer_difference(low, high, threshold) if n_seeds > 1 else NO_ANSWER
            lines.append(f"| {question} | {difference} | {decision} |")
        else:
            lines.append(f"| {question} | | not run yet |")
    lines += [] if n_seeds > 1 else ["", "One seed: the intervals are over test pairs only, and decide nothing."]
    return "\n".join(lines)


def _format_difference(results: Results, arm: str, baseline: str) -> str:
    value, low, high = compare(results, arm, baseline)
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _mean(results: Results, arm: str) -> float:
    return float(results.values[:, results.arms.index(arm)].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers the questions of the headline run.")
    parser.add_argument("pieces", nargs="*", type=Path)
    parser.add_argument("--pictures", metavar="DIR", type=Path)
    options = parser.parse_args()
    folders = [folder for folder in options.pieces if (folder / "values.json.gz").is_file()]
    if not folders:
        sys.exit("expected folders with values.json.gz, written by studies/headline/save_results.py")
    for objective, pieces in load_pieces(folders).items():
        results = merge_pieces(objective, pieces)
        print(format_answers(results), end="\n\n")
        if options.pictures:
            draw_pictures(results, options.pictures)


if __name__ == "__main__":
    main()
