"""The finished runs of a study, by variant, and the values behind their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.pipeline.run_index import RUN_INDEX_FILE
from trimtab.report.collect.arm_values import ArmValues, load_arm_values
from trimtab.report.run_reader import Run

# Values by prompt or pair id.
Values = Mapping[str, float]


@dataclass(frozen=True)
class VariantRun:
    """One run with its values; `variant` is empty if the study has none."""

    variant: str
    run: Run

    @cached_property
    def arm_values(self) -> dict[str, ArmValues]:
        return load_arm_values(self.run)


@dataclass(frozen=True)
class StudyRuns:
    """The runs of one study, by variant."""

    by_variant: Mapping[str, VariantRun] = field(default_factory=dict)

    def find(self, row: str) -> tuple[VariantRun | None, str]:
        """The run of a row named `ARM` or `VARIANT/ARM`, and the arm."""
        variant, _, arm = row.rpartition("/")
        return self.by_variant.get(variant) or (None if variant else self.first), arm

    @property
    def first(self) -> VariantRun | None:
        return next(iter(self.by_variant.values()), None)

    def values(self, row: str, metric: str) -> Values:
        """The values of a row's metric by prompt or pair id; empty if there are none."""
        found, arm = self.find(row)
        values = found.arm_values.get(arm) if found else None
        return values.values.get(metric, {}) if values else {}

    def share_scorer(self, row: str, other: str, metric: str) -> bool:
        """Whether two rows have the metric from the same scorer. Only rewards have scorers."""
        identities = [_scorer_identity(*self.find(each), metric) for each in (row, other)]
        return identities[0] == identities[1]


def open_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs in these folders. A folder without a run is searched for runs of variants, one level deep.

    Raises `StoreError` if a folder holds neither.
    """
    runs: list[Run] = []
    for folder in folders:
        inside = [folder] if (folder / RUN_INDEX_FILE).is_file() else sorted(folder.glob(f"*/{RUN_INDEX_FILE}"))
        if not inside:
            raise StoreError(f"{folder} holds no finished run, and no folder in it does; run the study first")
        runs += [Run(path if path.is_dir() else path.parent) for path in inside]
    return runs


def group_runs(study: str, runs: Sequence[Run]) -> StudyRuns:
    """The runs of a study: those with its name, and those of its variants, `STUDY-VARIANT`. The first of equal names counts."""
    by_variant: dict[str, VariantRun] = {}
    for run in runs:
        name = run.study.name
        if name == study or name.startswith(f"{study}-"):
            variant = name.removeprefix(study).removeprefix("-")
            by_variant.setdefault(variant, VariantRun(variant, run))
    return StudyRuns(by_variant)


def _scorer_identity(found: VariantRun | None, arm: str, metric: str) -> object:
    """The settings and weights of the scorer behind a reward; None for other metrics."""
    row = next((row for row in found.run.arms if row.name == arm), None) if found else None
    if found is None or row is None or not row.scores or metric.partition(".")[0] != "gold_reward":
        return None
    stage = row.scores[metric.partition(".")[2] or next(iter(row.scores))]
    record = found.run.artifact(stage).record
    return record["settings"], {key: value for key, value in record["inputs"].items() if key != "completions"}
