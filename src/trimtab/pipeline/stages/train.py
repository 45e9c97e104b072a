"""Stages that train: SFT on chosen responses, DPO on labels, and the gold reward model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from trimtab.config.training import DpoSettings, SftSettings
from trimtab.core.annotator_inputs import ResponseScores
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import (
    ModelSource,
    as_external_hashes,
    as_input_stages,
    load_model_source,
    resolve_adapter_base,
)
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import load_annotations, load_logprobs, load_split_pairs
from trimtab.types import Annotation, Pair, Preference, build_human_annotation

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.training.trainer import TrainingExample

TrainingSplit = Literal["labeled", "unlabeled"]


def sft_stage(name: str, model: Model, split: Stage, labels: Stage | None, recipe: SftSettings, seed: int) -> Stage:
    """Fine-tunes on the chosen responses: of the labeled pairs by their human labels, or of the unlabeled by `labels`."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_full_model
        from trimtab.training.sft import train_sft
        from trimtab.training.trainer import count_optimizer_steps

        loaded = load_model_source(model, inputs, runtime)
        rows = [tokenize_pair(loaded.chat, each.prompt, each.chosen) for each in load_preferences(inputs)]
        told_to = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Fine-tuning: {name}", count_optimizer_steps(len(rows), recipe), "steps") as tick:
            tuned, log = train_sft(loaded.model, rows, recipe, told_to, draft.folder, tick)
        if runtime.is_main_process:
            save_full_model(loaded, tuned, draft.folder)
        return {**summarize_training_log(log), "examples": len(rows), "tokens": sum(map(len, rows))}

    return Stage(
        name=name,
        kind="sft",
        execute=make,
        settings={"recipe": identity_settings(recipe), "seed": seed},
        input_stages={"split": split, **({"labels": labels} if labels else {})},
        external_hashes=as_external_hashes(model),
    )


def dpo_stage(
    name: str, model: ModelSource, split: Stage, labels: Stage | None, reference: Stage, recipe: DpoSettings, seed: int
) -> Stage:
    """Aligns the model on labels: the human ones of the labeled pairs, or those that `labels` put on the unlabeled."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_adapter
        from trimtab.training.dpo import train_dpo
        from trimtab.training.trainer import count_optimizer_steps

        loaded = load_model_source(model, inputs, runtime)
        table = None if recipe.reference_free else load_logprobs(inputs["reference"])
        chosen_first = _chosen_first(inputs)
        examples = [
            _build_example(loaded, each, table, chosen_first[each.pair_id]) for each in load_preferences(inputs)
        ]
        told_to = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Aligning: {name}", count_optimizer_steps(len(examples), recipe), "steps") as tick:
            policy, log = train_dpo(loaded.model, examples, recipe, told_to, draft.folder, tick)
        if runtime.is_main_process:
            save_adapter(policy, resolve_adapter_base(model, inputs), draft.folder)
        return {
            **summarize_training_log(log),
            "examples": len(examples),
            "tokens": sum(len(each.pair) for each in examples),
        }

    return Stage(
        name=name,
        kind="dpo",
        execute=make,
        settings={"recipe": identity_settings(recipe), "seed": seed},
        input_stages={
            "split": split,
            **({} if recipe.reference_free else {"reference": reference}),
            **as_input_stages(model),
            **({"labels": labels} if labels else {}),
        },
        external_hashes=as_external_hashes(model),
    )


def _build_example(
    loaded: LoadedModel, preference: Preference, table: Mapping[str, ResponseScores] | None, a_is_chosen: bool
) -> TrainingExample:
    """The chosen response first, with the reference's log-probabilities where there is a table of them."""
    from trimtab.training.trainer import SoftLabel, TrainingExample

    row = tokenize_pair(loaded.chat, preference.prompt, preference.chosen, preference.rejected)
    label = SoftLabel(preference.p_chosen, preference.weight)
    if table is None:
        return TrainingExample(row, label=label)
    scores = table[preference.pair_id]
    return TrainingExample(row, (scores.a, scores.b) if a_is_chosen else (scores.b, scores.a), label)


def load_preferences(inputs: StageInputs) -> list[Preference]:
    """The pairs under their labels, in the split's order; pairs without a label are left out."""
    return [
        made
        for pair, label in load_labeled_pairs(inputs)
        if (made := Preference.from_annotation(pair, label)) is not None
    ]


def load_labeled_pairs(inputs: StageInputs) -> list[tuple[Pair, Annotation]]:
    """The pairs with their labels, in the split's order. Raises `DataError` where none has a label."""
    if "labels" in inputs:
        labels = load_annotations(inputs["labels"])
        found = [(pair, labels[pair.id]) for pair in load_split_pairs(inputs["split"], "unlabeled")]
    else:
        found = [(pair, build_human_annotation(pair)) for pair in load_split_pairs(inputs["split"], "labeled")]
    if all(label.choice is None for _, label in found):
        raise DataError(f"none of {len(found)} pairs has a label to train on; see {inputs['split'].folder}")
    return found


def _chosen_first(inputs: StageInputs) -> dict[str, bool]:
    return {pair.id: label.choice == "a" for pair, label in load_labeled_pairs(inputs)}


def build_training_runtime(name: str, seed: int, loaded: LoadedModel, runtime: Runtime) -> Any:
    """Where and how the model is trained; how pairs are laid out is asked of the model before an adapter is put on it."""
    from trimtab.models.packing.layout_probe import select_layout
    from trimtab.training.trainer import TrainingRuntime

    return TrainingRuntime(
        name=name,
        seed=seed,
        pad_id=loaded.pad_id,
        layout=select_layout(loaded.model),
        token_budget=runtime.token_budget,
        # Trainer would otherwise take a graphics card that the user did not ask for
        trainer_arguments={"use_cpu": runtime.device == "cpu", **runtime.trainer_arguments},
        world_size=runtime.world_size,
    )


def summarize_training_log(log: list[dict[str, float]]) -> dict[str, Any]:
    """Steps, and means over the first and the last tenth of them."""
    tenth = max(1, len(log) // 10)
    kept = ("loss", "accuracy", "margin")

    def average(part: list[dict[str, float]]) -> dict[str, float]:
        return {key: round(sum(each[key] for each in part) / len(part), 4) for key in kept if key in part[0]}

    return {"steps": len(log), "first": average(log[:tenth]), "last": average(log[-tenth:])} if log else {"steps": 0}
