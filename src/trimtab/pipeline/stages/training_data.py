"""Shared parts of the training stages: their labeled pairs, their run-time options and the summary of their log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trimtab.config.training import TrainingSettings
from trimtab.core.runtime import Runtime
from trimtab.errors import NoLabelsError
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.storage.disk_sequence import map_values
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.training.step_count import count_epochs, count_optimizer_steps
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


def load_labeled_pairs(inputs: StageInputs) -> Sequence[tuple[Pair, Annotation]]:
    """The pairs with their labels, in the order of the split. Raises `NoLabelsError` if no pair has a label."""
    if "labels" in inputs:
        labels = load_annotations(inputs["labels"])
        pairs = map_values(load_split_pairs(inputs["split"], "unlabeled"), lambda pair: (pair, labels[pair.id]))
    else:
        labeled = load_split_pairs(inputs["split"], "labeled")
        pairs = map_values(labeled, lambda pair: (pair, build_human_annotation(pair)))
    if all(label.choice is None for _, label in pairs):
        raise NoLabelsError(f"none of {len(pairs)} pairs has a label to train on; see {inputs['split'].folder}")
    return pairs


def iter_preferences(inputs: StageInputs) -> Iterator[Preference]:
    """The pairs as chosen and rejected responses, in the order of the split, without pairs that have no label."""
    for pair, label in load_labeled_pairs(inputs):
        preference = Preference.from_annotation(pair, label)
        if preference is not None:
            yield preference


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


def estimate_training_work(
    rate_key: str,
    settings: TrainingSettings,
    *,
    unit: Literal["tokens", "pairs"] = "tokens",
    fact: str = "tokens",
    splits: tuple[str, ...] = (),
    limit: int | None = None,
    token_fraction: float = 1.0,
) -> Work:
    """The work of a training on the pairs of `splits`, or on `limit` pairs of its own. `fact` as in `summarize_training`."""
    fixed = settings.max_steps is not None
    return Work(
        rate_key=rate_key,
        unit=unit,
        fact=fact,
        splits=splits,
        limit=limit,
        epochs=1.0 if fixed else settings.num_train_epochs,
        num_pairs=(settings.max_steps or 0) * settings.batch_size if fixed else None,
        token_fraction=token_fraction,
    )


def summarize_training(
    log: Sequence[Mapping[str, float]],
    settings: TrainingSettings,
    token_counts: Sequence[int],
    n_pairs: int | None = None,
) -> dict[str, Any]:
    """Facts for the record: `steps`, `epochs`, metrics of the `first` and the `last` tenth of the log, and what was processed.

    `token_counts` has the tokens of each example; `n_pairs` is the number of pairs, if a pair can have several examples.
    `examples` are the distinct ones, `processed_examples` and `tokens` those of all epochs.
    """
    n_pairs = len(token_counts) if n_pairs is None else n_pairs
    epochs = count_epochs(n_pairs, settings)
    return {
        "steps": count_optimizer_steps(n_pairs, settings),
        "epochs": round(epochs, 4),
        **_summarize_log(log),
        "examples": len(token_counts),
        "processed_examples": round(epochs * len(token_counts)),
        "tokens": round(epochs * sum(token_counts)),
    }


def _summarize_log(log: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    if not log:
        return {}
    tenth = max(1, len(log) // 10)

    def average(entries: Sequence[Mapping[str, float]]) -> dict[str, float]:
        names = [name for name in SUMMARY_METRICS if name in entries[0]]
        return {name: round(sum(entry[name] for entry in entries) / len(entries), 4) for name in names}

    return {"first": average(log[:tenth]), "last": average(log[-tenth:])}
