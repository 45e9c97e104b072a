"""A run's folder, read as it is asked for, finished or not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.config.study import Study
from trimtab.errors import StoreError
from trimtab.pipeline.executor import load_run_index
from trimtab.storage.artifacts import Artifact, open_artifact
from trimtab.storage.schemas import annotation_from_row, load_split_pairs
from trimtab.types import Annotation, Pair

SPLIT_NAMES = ("labeled", "unlabeled", "test")
# What an arm needs, in the order in which it is made, and what each part is called.
ARM_PARTS = {
    "labels": "labels",
    "training": "student",
    "policy": "choices on the test pairs",
    "reference": "choices on the test pairs",
    "predictions": "choices on the test pairs",
    "completions": "answers",
    "scores": "gold rewards",
}


class Run:
    """What a run left. Tables of labels are read once. Raises `StoreError` where the folder holds no run.

    A run that was killed has stages that are not there: `missing` names them, and arms go without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = load_run_index(folder)
        self._labels: dict[str, dict[str, Annotation]] = {}

    @cached_property
    def study(self) -> Study:
        return Study.load(self.folder / "study.yaml")

    @cached_property
    def arms(self) -> list[Mapping[str, Any]]:
        """The arms of the index, without stages that are not there yet; `pending` says in words what these would be."""
        return [self._without_unfinished(arm) for arm in self.index["arms"]]

    @cached_property
    def missing_stages(self) -> tuple[str, ...]:
        """The folders of the stages that are not finished, in the order in which they are made."""
        return tuple(name for name in self.index["stages"] if not self.is_finished(name))

    def is_finished(self, name: str) -> bool:
        return (self._stage_folder(name) / "record.json").is_file()

    def _without_unfinished(self, arm: Mapping[str, Any]) -> Mapping[str, Any]:
        waiting = {part for part in ARM_PARTS if part != "scores" and arm[part] and not self.is_finished(arm[part])}
        scores = {name: stage for name, stage in arm["scores"].items() if self.is_finished(stage)}
        late = [
            *(part for part in ARM_PARTS if part in waiting),
            *(["scores"] if len(scores) < len(arm["scores"]) else []),
        ]
        pending = tuple(dict.fromkeys(ARM_PARTS[part] for part in late))
        return {**arm, **dict.fromkeys(waiting), "scores": scores, "pending": pending}

    def ood_stages(self, row: str) -> dict[str, Mapping[str, str]]:
        """The stages of a row's choices on other domains, by domain and part, where they are finished."""
        asked: Mapping[str, Mapping[str, str]] = self.index.get("elsewhere", {}).get(row, {})
        return {domain: parts for domain, parts in asked.items() if all(map(self.is_finished, parts.values()))}

    @property
    def _row_names(self) -> list[str]:
        return [arm["name"] for arm in self.index["arms"]]

    def test_pairs_of_stage(self, stage: str) -> list[Pair]:
        """The test pairs of the split that a stage read."""
        ending = f"-{self.artifact(stage).record['inputs']['split']}"
        return load_split_pairs(
            self.artifact(next(name for name in self.index["stages"] if name.endswith(ending))), "test"
        )

    def artifact(self, name: str) -> Artifact:
        return open_artifact(self._stage_folder(name))

    @cached_property
    def split(self) -> Artifact:
        return self.artifact(self.index["split"])

    @property
    def has_split(self) -> bool:
        return self.is_finished(self.index["split"])

    @cached_property
    def labeled(self) -> list[Pair]:
        return self._split_pairs("labeled")

    @cached_property
    def test(self) -> list[Pair]:
        return self._split_pairs("test")

    @cached_property
    def prompt_ids(self) -> dict[str, str]:
        """The prompts' ids of the test pairs, those of other domains too, by pair id: what intervals are clustered by."""
        read = {
            domain: next(iter(parts.values()))
            for row in self._row_names
            for domain, parts in self.ood_stages(row).items()
        }
        there = (pair for stage in read.values() for pair in self.test_pairs_of_stage(stage))
        return {pair.id: pair.prompt_id for pair in (*there, *self.test)}

    @cached_property
    def unlabeled(self) -> list[Pair]:
        return self._split_pairs("unlabeled")

    def _split_pairs(self, side: str) -> list[Pair]:
        return load_split_pairs(self.split, side) if self.has_split else []

    def annotations(self, stage: str) -> Mapping[str, Annotation]:
        """The labels that a stage wrote, by pair id."""
        if stage not in self._labels:
            rows = self.artifact(stage).read_rows("annotations")
            self._labels[stage] = {row["id"]: self._parse_annotation(stage, row) for row in rows}
        return self._labels[stage]

    def annotation(self, stage: str, key: str) -> Annotation:
        """One pair's label, without reading the details of the others. Raises `StoreError` where the stage has none."""
        row = next((row for row in self.artifact(stage).read_rows("annotations") if row["id"] == key), None)
        if row is None:
            raise StoreError(
                f"{self._stage_folder(stage)}: there is no label of pair {key}; delete the folder and run again"
            )
        return self._parse_annotation(stage, row)

    def _parse_annotation(self, stage: str, row: Mapping[str, Any]) -> Annotation:
        try:
            return annotation_from_row(row)
        except KeyError as error:
            raise StoreError(
                f"{self._stage_folder(stage)}: its labels have no column {error}, so an earlier version wrote them; delete the folder "
                "and run the study again"
            ) from error

    def _stage_folder(self, stage: str) -> Path:
        return self.folder / "stages" / stage

    def source_stage(self, labels: str) -> str:
        """The stage that an arm's labels were given in: before they were calibrated and filtered, where they were."""
        record = self.artifact(labels).record
        if record["stage"] not in ("filter", "calibrate"):
            return labels
        ending = f"-{record['inputs']['labels']}"
        return self.source_stage(next(str(name) for name in self.index["stages"] if name.endswith(ending)))

    def filter_kind(self, labels: str) -> str:
        """The kind of filter that an arm's labels went through; empty where there was none."""
        return str(self.artifact(labels).record["settings"].get("filter", {}).get("kind", ""))
