"""Reads the folder of a run, finished or not. Files are read on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from trimtab.config.study import Study
from trimtab.pipeline.run_index import RowIndex, load_run_index
from trimtab.pipeline.stored_study import load_stored_study
from trimtab.storage.artifacts import Artifact, open_artifact
from trimtab.storage.schemas import (
    REWARD_SCHEMA,
    load_annotation,
    load_annotations,
    load_response_models,
    load_split_pairs,
)
from trimtab.types import Annotation, Pair

# Kinds of stages that compute something about every pair, from which annotators read labels in no time.
_TABLE_KINDS = {"logprobs", "hidden_states", "reward_table"}
# The parts of an arm in the order they are made, with their display names.
ARM_PARTS = {
    "labels": "labels",
    "training": "student",
    "policy_logprobs": "predictions on the test pairs",
    "reference_logprobs": "predictions on the test pairs",
    "predictions": "predictions on the test pairs",
    "completions": "responses",
    "scores": "gold rewards",
}


class RunRow(RowIndex):
    """A row of the index without its unfinished stages; `pending` has the display names of the omitted parts."""

    pending: tuple[str, ...] = ()


class Run:
    """The results in a run folder. Label tables are cached. Raises `StoreError` if the folder holds no run.

    An interrupted run lacks some stages: `missing_stages` lists them, and arms omit them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = load_run_index(folder)
        self._annotations: dict[str, Mapping[str, Annotation]] = {}

    @cached_property
    def study(self) -> Study:
        """The settings. Custom components have no code; see `load_stored_study`."""
        return load_stored_study(self.folder, self.index.study_sha256)

    @cached_property
    def arms(self) -> list[RunRow]:
        """The rows of the index, without unfinished stages."""
        return [self._without_unfinished(row) for row in self.index.rows]

    @cached_property
    def missing_stages(self) -> tuple[str, ...]:
        """The folder names of unfinished stages, in execution order."""
        return tuple(name for name in self.index.stages if not self.is_finished(name))

    @property
    def failed_stages(self) -> dict[str, str]:
        """The errors of stages that failed without stopping the run and have not been repeated since, by stage name."""
        missing = {folder.rpartition("-")[0] for folder in self.missing_stages}
        return {stage: error for stage, error in self.index.failed_stages.items() if stage in missing}

    def is_finished(self, name: str) -> bool:
        return (self._stage_folder(name) / "record.json").is_file()

    def _without_unfinished(self, row: RowIndex) -> RunRow:
        stages = {part: getattr(row, part) for part in ARM_PARTS if part != "scores"}
        unfinished = [part for part, stage in stages.items() if stage and not self.is_finished(stage)]
        scores = {name: stage for name, stage in row.scores.items() if self.is_finished(stage)}
        pending_parts = [*unfinished, *(["scores"] if len(scores) < len(row.scores) else [])]
        pending = tuple(dict.fromkeys(ARM_PARTS[part] for part in pending_parts))
        values = {**row.model_dump(), **dict.fromkeys(unfinished), "scores": scores}
        return RunRow(**values, pending=pending)

    def ood_stages(self, row: str) -> dict[str, Mapping[str, str]]:
        """The finished out-of-domain evaluation stages of a row, by domain and part."""
        domains = self.index.ood_eval.get(row, {})
        return {domain: parts for domain, parts in domains.items() if all(map(self.is_finished, parts.values()))}

    def test_pairs_of_stage(self, stage: str) -> Sequence[Pair]:
        """The test pairs of the split that a stage was evaluated on."""
        split = self.index.stage_with_fingerprint(self.artifact(stage).record["inputs"]["split"])
        return load_split_pairs(self.artifact(split), "test")

    def artifact(self, name: str) -> Artifact:
        return open_artifact(self._stage_folder(name))

    @cached_property
    def split(self) -> Artifact:
        return self.artifact(self.index.split)

    @property
    def has_split(self) -> bool:
        return self.is_finished(self.index.split)

    @cached_property
    def labeled(self) -> Sequence[Pair]:
        return self._split_pairs("labeled")

    @cached_property
    def unlabeled(self) -> Sequence[Pair]:
        return self._split_pairs("unlabeled")

    @cached_property
    def response_models(self) -> dict[str, tuple[str, str]]:
        """The models that wrote the responses a and b, by pair id, for pairs whose rows name them."""
        return load_response_models(self.split) if self.has_split else {}

    @cached_property
    def test(self) -> Sequence[Pair]:
        return self._split_pairs("test")

    @cached_property
    def prompt_ids(self) -> dict[str, str]:
        """Prompt ids by pair id, of the test pairs and of out-of-domain pairs; confidence intervals cluster by them."""
        stages = {
            domain: next(iter(parts.values()))
            for row in self.index.rows
            for domain, parts in self.ood_stages(row.name).items()
        }
        ood_pairs = (pair for stage in stages.values() for pair in self.test_pairs_of_stage(stage))
        return {pair.id: pair.prompt_id for pair in (*ood_pairs, *self.test)}

    @cached_property
    def unlabeled_rewards(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The gold rewards of `a` and `b` of the unlabeled pairs, by scorer and pair id; only finished scorers."""
        rewards = {}
        for scorer, stage in self.index.unlabeled_rewards.items():
            if self.is_finished(stage):
                rows = self.artifact(stage).read_rows("rewards", REWARD_SCHEMA)
                rewards[scorer] = {row["id"]: (row["a"], row["b"]) for row in rows}
        return rewards

    def _split_pairs(self, split: str) -> Sequence[Pair]:
        return load_split_pairs(self.split, split) if self.has_split else []

    def annotations(self, stage: str) -> Mapping[str, Annotation]:
        """The labels that a stage wrote, by pair id."""
        if stage not in self._annotations:
            self._annotations[stage] = load_annotations(self.artifact(stage))
        return self._annotations[stage]

    def annotation(self, stage: str, pair_id: str) -> Annotation:
        """The label of one pair, without parsing the others. Raises `StoreError` if the stage has none."""
        return load_annotation(self.artifact(stage), pair_id)

    def _stage_folder(self, stage: str) -> Path:
        return self.folder / "stages" / stage

    def find_row(self, name: str) -> RunRow:
        """The row with this name, whose labels are those that its student was aligned on, also for a later round."""
        row = next(row for row in self.arms if row.name == name)
        labels = self.index.find_labels(name)[0]
        return row.model_copy(update={"labels": labels if labels and self.is_finished(labels) else None})

    def labeling_seconds(self, stage: str) -> float:
        """The time of an annotation stage and of the tables of log-probabilities, hidden states or rewards that it reads."""
        record = self.artifact(stage).record
        fingerprints = {folder.rpartition("-")[2]: folder for folder in self.index.stages if self.is_finished(folder)}
        inputs = (
            self.artifact(fingerprints[each]).record for each in record["inputs"].values() if each in fingerprints
        )
        tables = {each["fingerprint"]: each["seconds"] for each in inputs if each["stage"] in _TABLE_KINDS}
        return float(record["seconds"] + sum(tables.values()))

    def source_stage(self, labels: str) -> str:
        """The annotation stage behind an arm's labels, before calibration and filtering."""
        record = self.artifact(labels).record
        if record["stage"] not in ("filter", "calibrate"):
            return labels
        return self.source_stage(self.index.stage_with_fingerprint(record["inputs"]["labels"]))

    def filter_kind(self, labels: str) -> str:
        """The kind of the filter applied to an arm's labels; empty if there is none."""
        return str(self.artifact(labels).record["settings"].get("filter", {}).get("kind", ""))
