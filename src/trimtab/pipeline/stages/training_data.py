"""Shared parts of the training stages: their labeled pairs, their run-time options and the summary of their log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Annotation, Pair, Preference, build_human_annotation

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.training.trainer import TrainingRuntime

SUMMARY_METRICS = ("loss", "accuracy", "margin")


def as_label_inputs(labels: Stage | None) -> dict[str, Stage]:
    """The input stages for labels: none if the human labels of the labeled pairs are used."""
    return {} if labels is None else {"labels": labels}


def trained_split(labels: Stage | None) -> tuple[str, ...]:
    """The split whose pairs are trained on: the unlabeled pairs if they have `labels`, else the labeled ones."""
    return ("labeled",) if labels is None else ("unlabeled",)


def load_labeled_pairs(inputs: StageInputs) -> list[tuple[Pair, Annotation]]:
    """The pairs with their labels, in the order of the split. Raises `DataError` if no pair has a label."""
    if "labels" in inputs:
        labels = load_annotations(inputs["labels"])
        pairs = [(pair, labels[pair.id]) for pair in load_split_pairs(inputs["split"], "unlabeled")]
    else:
        pairs = [(pair, build_human_annotation(pair)) for pair in load_split_pairs(inputs["split"], "labeled")]
    if all(label.choice is None for _, label in pairs):
        raise DataError(f"none of {len(pairs)} pairs has a label to train on; see {inputs['split'].folder}")
    return pairs


def load_preferences(inputs: StageInputs) -> list[Preference]:
    """The pairs as chosen and rejected responses, in the order of the split, without pairs that have no label."""
    preferences = (Preference.from_annotation(pair, label) for pair, label in load_labeled_pairs(inputs))
    return [preference for preference in preferences if preference is not None]


def build_training_runtime(name: str, seed: int, loaded: LoadedModel, runtime: Runtime) -> TrainingRuntime:
    """The run-time options of a training. Call it before an adapter is added: the batch layout is probed on the model."""
    from trimtab.models.packing.layout_probe import select_layout
    from trimtab.training.trainer import TrainingRuntime

    return TrainingRuntime(
        name=name,
        seed=seed,
        pad_id=loaded.pad_id,
        layout=select_layout(loaded.model),
        token_budget=runtime.token_budget,
        # without `use_cpu`, Trainer would use any GPU it finds
        trainer_arguments={"use_cpu": runtime.device == "cpu", **runtime.trainer_arguments},
        world_size=runtime.world_size,
    )


def summarize_training_log(log: list[dict[str, float]]) -> Mapping[str, Any]:
    """The number of steps, and mean metrics over the first and the last tenth of the steps."""
    if not log:
        return {"steps": 0}
    tenth = max(1, len(log) // 10)

    def average(entries: list[dict[str, float]]) -> dict[str, float]:
        names = [name for name in SUMMARY_METRICS if name in entries[0]]
        return {name: round(sum(entry[name] for entry in entries) / len(entries), 4) for name in names}

    return {"steps": len(log), "first": average(log[:tenth]), "last": average(log[-tenth:])}
