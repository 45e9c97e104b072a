"""Trains reward models: for scorers on pairs that the study does not use, for annotators on the labeled pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.config.training import RewardModelSettings
from trimtab.core.human_labels import require_human_labels
from trimtab.core.runtime import Runtime
from trimtab.data.split import normalized_prompt_hash
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import (
    ModelSource,
    as_external_hashes,
    as_input_stages,
    resolve_model,
)
from trimtab.pipeline.stages.split import as_source
from trimtab.pipeline.stages.study_prompts import load_prompt_hashes
from trimtab.pipeline.stages.training_data import (
    build_training_runtime,
    estimate_training_work,
    summarize_training,
)
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import load_split_pairs
from trimtab.training.step_count import count_optimizer_steps
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel


def study_reward_model_stage(name: str, scorer: StudyRewardModel, prompts: Stage, max_length: int, seed: int) -> Stage:
    """Trains the scorer's reward model on its own data, without pairs whose prompt the stage `prompts` lists."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        loaded = resolve_model(scorer.model, inputs).load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        rows = [_tokenize_preferred_first(loaded, pair) for pair in _load_scorer_pairs(scorer, inputs)]
        rows = [row for row in rows if row.max_text_length <= max_length]
        return _train_and_save(draft, name, loaded, rows, scorer.training, scorer.model, seed, runtime)

    limit = getattr(scorer.data, "limit", None)
    return Stage(
        name=name,
        kind="reward_model",
        role="training",
        training=scorer.training,
        execute=execute,
        settings={"scorer": identity_settings(scorer), "max_length": max_length, "seed": seed},
        input_stages={"prompts": prompts},
        external_hashes={**as_external_hashes(scorer.model), "source": as_source(scorer.data).content_hash()},
        work=estimate_training_work("reward_model", scorer.training, limit=limit if isinstance(limit, int) else None),
    )


def reward_model_stage(name: str, model: ModelSource, settings: RewardModelSettings, split: Stage, seed: int) -> Stage:
    """Trains a reward model on the labeled pairs of the split."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = load_split_pairs(inputs["split"], "labeled")
        require_human_labels("reward_model", pairs)
        loaded = resolve_model(model, inputs).load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        rows = [_tokenize_preferred_first(loaded, pair) for pair in pairs]
        return _train_and_save(draft, name, loaded, rows, settings, resolve_model(model, inputs).source, seed, runtime)

    return Stage(
        name=name,
        kind="reward_model",
        role="training",
        training=settings,
        execute=execute,
        settings={"recipe": identity_settings(settings), "seed": seed},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
        work=estimate_training_work("reward_model", settings, splits=("labeled",)),
    )


def _load_scorer_pairs(scorer: StudyRewardModel, inputs: StageInputs) -> list[Pair]:
    """The scorer's pairs that have a human label and a prompt that does not occur in the study."""
    study_prompts = load_prompt_hashes(inputs["prompts"])
    pairs = as_source(scorer.data).load().pairs
    usable = [
        pair for pair in pairs if pair.human is not None and normalized_prompt_hash(pair.prompt) not in study_prompts
    ]
    if not usable:
        raise DataError(
            f"study_reward_model: none of the {len(pairs)} pairs has both a human label and a prompt that is not already in "
            "the study"
        )
    return usable


def _tokenize_preferred_first(loaded: LoadedModel, pair: Pair) -> TokenizedPair:
    first, second = (pair.a, pair.b) if pair.human == "a" else (pair.b, pair.a)
    return tokenize_pair(loaded.chat, pair.prompt, first, second)


def _train_and_save(
    draft: Draft,
    name: str,
    loaded: LoadedModel,
    rows: list[TokenizedPair],
    settings: RewardModelSettings,
    base: Model | Path,
    seed: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains on rows whose first response is preferred, saves the model and returns facts. `base` is under an adapter."""
    from trimtab.models.checkpoint import save_adapter, save_full_model
    from trimtab.models.scoring.reward_head import save_reward_head
    from trimtab.training.reward_model import train_reward_model

    training_runtime = build_training_runtime(name, seed, loaded, runtime)
    with runtime.progress(f"Training: {name}", count_optimizer_steps(len(rows), settings), "steps") as tick:
        module, log = train_reward_model(loaded.model, rows, settings, training_runtime, draft.folder, tick)
    if runtime.is_main_process:
        if settings.lora_r:
            save_adapter(module.model, base, draft.folder)
        else:
            save_full_model(loaded, module.model, draft.folder)
        save_reward_head(module, draft.folder)
    return summarize_training(log, settings, list(map(len, rows)))
