"""Supervised fine-tuning on chosen responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.config.training import SftSettings
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import as_external_hashes, resolve_model
from trimtab.pipeline.stages.training_data import (
    as_label_inputs,
    build_training_runtime,
    estimate_training_work,
    load_preferences,
    summarize_training,
    trained_split,
)
from trimtab.storage.artifacts import Draft
from trimtab.training.step_count import count_optimizer_steps

# The share of a pair's tokens in the prompt and one response, for time estimates.
SFT_TOKEN_FRACTION = 0.7


def sft_stage(name: str, model: Model, split: Stage, labels: Stage | None, settings: SftSettings, seed: int) -> Stage:
    """Fine-tunes on the chosen responses of the labeled pairs, or with `labels` on those of the unlabeled pairs."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_full_model
        from trimtab.training.sft import train_sft

        loaded = resolve_model(model, inputs).load(runtime.notify, runtime.device)
        rows = [
            tokenize_pair(loaded.chat, preference.prompt, preference.chosen) for preference in load_preferences(inputs)
        ]
        training_runtime = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Fine-tuning: {name}", count_optimizer_steps(len(rows), settings), "steps") as tick:
            tuned, log = train_sft(loaded.model, rows, settings, training_runtime, draft.folder, tick)
        if runtime.is_main_process:
            save_full_model(loaded, tuned, draft.folder)
        return summarize_training(log, settings, list(map(len, rows)))

    return Stage(
        name=name,
        kind="sft",
        role="training",
        execute=execute,
        settings={"recipe": identity_settings(settings), "seed": seed},
        input_stages={"split": split, **as_label_inputs(labels)},
        external_hashes=as_external_hashes(model),
        work=estimate_training_work("sft", settings, splits=trained_split(labels), token_fraction=SFT_TOKEN_FRACTION),
    )
