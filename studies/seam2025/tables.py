"""Prints SEAM's tables 1 to 3 from finished runs as Markdown, next to the paper's numbers, in percent.

python studies/seam2025/tables.py runs/seam-tables

The folder has one run per dataset, named as the variants of `tables.yaml`: af, hs, am, ch, ahh, sr. A dataset without a
run has no column, and an arm without results is shown as missing. A cell is the paper's number, a slash, and the run's
with its 95% interval. The average is over the datasets with a run; its PGR is that of the average accuracies, as in the
paper. Intervals cluster by prompt, across datasets too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from averages import Values, average_over_datasets, spread_over_keys

from trimtab import stats
from trimtab.errors import StoreError
from trimtab.metrics.label_quality import get_choices, get_human_choices
from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.run_reader import Run
from trimtab.types import Metric

PUBLISHED: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
DATASETS = tuple(PUBLISHED["datasets"])
MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Results:
    """One run. By arm and key, 1 for each right answer of a student and each right label; and the prompt of each key."""

    students: Mapping[str, Values]
    labels: Mapping[str, Values]
    prompts: Mapping[str, str]


def load_results(folder: Path, dataset: str) -> Results | None:
    """The results of a run; None without one. Keys have the name of the dataset, since datasets can share pairs."""
    try:
        run = Run(folder)
    except StoreError:
        return None
    if not run.has_split:
        return None
    human = get_human_choices(run.unlabeled)
    students = {name: arm.values.get("accuracy", {}) for name, arm in load_arm_values(run).items()}
    labels = {
        arm.name: {
            key: float(choice == human[key])
            for key, choice in get_choices(run.annotations(arm.labels)).items()
            if choice is not None and key in human
        }
        for arm in run.arms
        if arm.labels
    }

    def add_dataset(values_by_arm: Mapping[str, Values]) -> dict[str, Values]:
        return {
            arm: {f"{dataset}/{key}": v for key, v in values.items()} for arm, values in values_by_arm.items() if values
        }

    prompts = {f"{dataset}/{pair.id}": pair.prompt_id for pair in (*run.unlabeled, *run.test)}
    return Results(students=add_dataset(students), labels=add_dataset(labels), prompts=prompts)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One dataset, or the average over several."""

    title: str
    datasets: tuple[str, ...]
    results: Mapping[str, Results]

    def values(self, part: str, arm: str) -> list[Values]:
        """The values of an arm in each dataset; empty if one has none."""
        by_dataset = [getattr(self.results[name], part).get(arm) for name in self.datasets if name in self.results]
        return [] if None in by_dataset or len(by_dataset) < len(self.datasets) else by_dataset

    @property
    def prompts(self) -> dict[str, str]:
        return {key: prompt for name in self.datasets for key, prompt in self.results[name].prompts.items()}

    def published(self, row: Mapping[str, Any], metric: str) -> float:
        """The paper's number: its own average if the column has all datasets, else the average of its cells."""
        numbers = row[metric]
        if len(self.datasets) == len(DATASETS):
            return float(numbers[-1])
        return sum(float(numbers[DATASETS.index(name)]) for name in self.datasets) / len(self.datasets)

    def published_pgr(self, row: Mapping[str, Any]) -> float:
        if len(self.datasets) in (1, len(DATASETS)):
            return self.published(row, "pgr")
        weak, student, ceiling = (
            self.published(each, "accuracy")
            for each in (PUBLISHED["table1"]["weak_model"], row, PUBLISHED["table1"]["human"])
        )
        return 100 * (student - weak) / abs(ceiling - weak)


def build_columns(results: Mapping[str, Results]) -> list[Column]:
    finished = tuple(name for name in DATASETS if name in results)
    columns = [Column(title=name.upper(), datasets=(name,), results=results) for name in finished or DATASETS]
    if len(finished) < 2:
        return columns
    title = "Avg." if len(finished) == len(DATASETS) else f"Avg. of {', '.join(name.upper() for name in finished)}"
    return [*columns, Column(title=title, datasets=finished, results=results)]


def compute_mean(values: Values, prompts: Mapping[str, str]) -> Metric:
    clusters = [prompts[key] for key in values]
    average = stats.bounded_mean if set(values.values()) <= {0.0, 0.5, 1.0} else stats.mean
    return average(list(values.values()), clusters=clusters)


def compute_accuracy(column: Column, part: str, arm: str) -> Metric | None:
    values = column.values(part, arm)
    return compute_mean(average_over_datasets(values), column.prompts) if values else None


def compute_pgr(column: Column, arm: str) -> Metric | None:
    rows = [column.values("students", name) for name in ("weak_model", arm, "human")]
    if not all(rows):
        return None
    common = [set.intersection(*(set(values) for values in group)) for group in zip(*rows, strict=True)]
    weak, student, ceiling = (
        average_over_datasets(
            [{key: values[key] for key in sorted(keys)} for values, keys in zip(row, common, strict=True)]
        )
        for row in rows
    )
    return stats.performance_gap_recovered(weak, student, ceiling, clusters=column.prompts)


def compute_difference(column: Column, part: str, arm: str, other: str) -> Metric | None:
    """The arm's mean minus the other's, paired where both have a value."""
    first, second = column.values(part, arm), column.values(part, other)
    if not first or not second:
        return None
    spread = [
        [spread_over_keys(values, sorted({*one, *two})) for values in (one, two)]
        for one, two in zip(first, second, strict=True)
    ]
    averages = (average_over_datasets([pair[index] for pair in spread]) for index in (0, 1))
    return stats.paired_difference(*averages, clusters=column.prompts)


def format_metric(metric: Metric | None, *, digits: int = 1, signed: bool = False) -> str:
    if metric is None:
        return MISSING
    if metric.value is None:
        return "undefined"
    sign = "+" if signed else ""
    value = f"{100 * metric.value:{sign}.{digits}f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} [{100 * metric.low:{sign}.{digits}f}, {100 * metric.high:{sign}.{digits}f}]"


def classify_direction(published: float, metric: Metric | None) -> str:
    """Whether the run's difference has the sign of the paper's: yes, no, or undecided if its interval includes zero."""
    if metric is None or metric.low is None or metric.high is None or abs(published) < 1e-9:
        return ""
    if metric.low <= 0 <= metric.high:
        return ", undecided"
    return ", yes" if (metric.low > 0) == (published > 0) else ", no"


def render_table(title: str, columns: Sequence[Column], rows: Mapping[str, Sequence[str]]) -> str:
    head = f"| paper / run | {' | '.join(column.title for column in columns)} |\n|{'---|' * (len(columns) + 1)}"
    return "\n".join([f"**{title}**\n", head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def render_accuracies(title: str, table: str, part: str, columns: Sequence[Column]) -> str:
    rows = {
        row["name"]: [
            f"{column.published(row, 'accuracy'):.1f} / {format_metric(compute_accuracy(column, part, arm))}"
            for column in columns
        ]
        for arm, row in PUBLISHED[table].items()
    }
    return render_table(title, columns, rows)


def render_pgr(columns: Sequence[Column]) -> str:
    rows = {
        row["name"]: [
            f"{column.published_pgr(row):.0f} / {format_metric(compute_pgr(column, arm), digits=0)}"
            for column in columns
        ]
        for arm, row in PUBLISHED["table1"].items()
        if arm not in ("weak_model", "human")
    }
    return render_table("Table 1: PGR", columns, rows)


def render_differences(
    title: str, table: str, part: str, pairs: Sequence[tuple[str, str]], columns: Sequence[Column]
) -> str:
    """Differences between arms, with the paper's, and whether their signs agree."""
    rows = {}
    for arm, other in pairs:
        first, second = PUBLISHED[table][arm], PUBLISHED[table][other]
        cells = []
        for column in columns:
            published = column.published(first, "accuracy") - column.published(second, "accuracy")
            metric = compute_difference(column, part, arm, other)
            direction = classify_direction(published, metric)
            cells.append(f"{published:+.1f} / {format_metric(metric, signed=True)}{direction}")
        rows[f"{first['name'].lstrip('– ')} minus {second['name'].lstrip('– ')}"] = cells
    return render_table(f"{title} Does the sign agree?", columns, rows)


def main() -> None:
    folder = Path(sys.argv[1])
    loaded = {name: load_results(folder / name, name) for name in DATASETS}
    columns = build_columns({name: results for name, results in loaded.items() if results is not None})
    students, labels, ablations = (list(PUBLISHED[f"table{number}"]) for number in (1, 2, 3))
    over_weak = [(arm, "weak_model") for arm in students if arm != "weak_model"]
    seam_over = [("seam", arm) for arm in labels if arm != "seam"]
    steps = list(zip(ablations[1:], ablations, strict=False))
    missing = [name.upper() for name, results in loaded.items() if results is None]
    sections = (
        f"Datasets without a run: {', '.join(missing) or 'none'}.",
        render_accuracies("Table 1: accuracy of students", "table1", "students", columns),
        render_pgr(columns),
        render_differences("Table 1: students over the weak model.", "table1", "students", over_weak, columns),
        render_accuracies("Table 2: accuracy of retained labels", "table2", "labels", columns),
        render_differences("Table 2: SEAM over each baseline.", "table2", "labels", seam_over, columns),
        render_accuracies("Table 3: accuracy of labels without components", "table3", "labels", columns),
        render_differences("Table 3: each ablation and the one above it.", "table3", "labels", steps, columns),
    )
    print("\n\n".join(sections))


if __name__ == "__main__":
    main()
