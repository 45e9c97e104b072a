"""A finished run's folder, read as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.errors import StoreError
from trimtab.run import read_index
from trimtab.stages.tables import annotation_of, pairs_of
from trimtab.store import Artifact, open_artifact
from trimtab.study import Study
from trimtab.types import Annotation, Pair

SIDES = ("labeled", "unlabeled", "test")


class Run:
    """What a run left. Tables of labels are read once. Raises `StoreError` where the folder holds no finished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_index(folder)
        self._labels: dict[str, dict[str, Annotation]] = {}

    @cached_property
    def study(self) -> Study:
        return Study.load(self.folder / "study.yaml")

    @property
    def arms(self) -> list[Mapping[str, Any]]:
        return list(self.index["arms"])

    def artifact(self, name: str) -> Artifact:
        return open_artifact(self._place(name))

    @cached_property
    def split(self) -> Artifact:
        return self.artifact(self.index["split"])

    @cached_property
    def labeled(self) -> list[Pair]:
        return pairs_of(self.split, "labeled")

    @cached_property
    def test(self) -> list[Pair]:
        return pairs_of(self.split, "test")

    @cached_property
    def unlabeled(self) -> list[Pair]:
        return pairs_of(self.split, "unlabeled")

    def annotations(self, stage: str) -> Mapping[str, Annotation]:
        """The labels that a stage wrote, by pair id."""
        if stage not in self._labels:
            rows = self.artifact(stage).rows("annotations")
            self._labels[stage] = {row["id"]: self._annotation(stage, row) for row in rows}
        return self._labels[stage]

    def annotation(self, stage: str, key: str) -> Annotation:
        """One pair's label, without reading the details of the others. Raises `StoreError` where the stage has none."""
        row = next((row for row in self.artifact(stage).rows("annotations") if row["id"] == key), None)
        if row is None:
            raise StoreError(f"{self._place(stage)}: there is no label of pair {key}; delete the folder and run again")
        return self._annotation(stage, row)

    def _annotation(self, stage: str, row: Mapping[str, Any]) -> Annotation:
        try:
            return annotation_of(row)
        except KeyError as error:
            raise StoreError(
                f"{self._place(stage)}: its labels have no column {error}, so an earlier version wrote them; delete the folder "
                "and run the study again"
            ) from error

    def _place(self, stage: str) -> Path:
        return self.folder / "stages" / stage

    def source(self, labels: str) -> str:
        """The stage that an arm's labels were given in: before they were calibrated and filtered, where they were."""
        record = self.artifact(labels).record
        if record["stage"] not in ("filter", "calibrate"):
            return labels
        ending = f"-{record['inputs']['labels']}"
        return self.source(next(str(name) for name in self.index["stages"] if name.endswith(ending)))

    def filter_kind(self, labels: str) -> str:
        """The kind of filter that an arm's labels went through; empty where there was none."""
        return str(self.artifact(labels).record["settings"].get("filter", {}).get("kind", ""))
