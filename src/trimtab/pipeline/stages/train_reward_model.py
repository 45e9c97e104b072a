"""Reward models that the study trains: gold rewards on human pairs from elsewhere, supervisors on the labeled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.annotators._shared.supervised import require_human_labels
from trimtab.config.training import RewardModelSettings
from trimtab.core.annotator_inputs import ResponseScores
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
    load_model_source,
    resolve_adapter_base,
)
from trimtab.pipeline.stages.split import as_source
from trimtab.pipeline.stages.train import build_training_runtime, summarize_training_log
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import LOGPROB_SCHEMA, load_split_pairs
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel


def study_reward_model_stage(name: str, scorer: StudyRewardModel, split: Stage, max_tokens: int, seed: int) -> Stage:
    """Trains the reward model on the scorer's data without the prompts of the study."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        loaded = load_model_source(scorer.model, inputs, runtime)
        pairs = _load_scorer_pairs(scorer, inputs)
        rows = [row for pair in pairs if (row := _tokenize_preferred_first(loaded, pair)).max_text_length <= max_tokens]
        return _train_and_save(draft, name, loaded, rows, scorer.recipe, scorer.model, seed, runtime)

    return Stage(
        name=name,
        kind="reward_model",
        execute=make,
        settings={"scorer": identity_settings(scorer), "max_tokens": max_tokens, "seed": seed},
        input_stages={"split": split},
        external_hashes={**as_external_hashes(scorer.model), "source": as_source(scorer.data).content_hash()},
    )


def reward_model_stage(name: str, model: ModelSource, recipe: RewardModelSettings, split: Stage, seed: int) -> Stage:
    """Trains a reward model on the labeled pairs of the split."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = load_split_pairs(inputs["split"], "labeled")
        require_human_labels("reward_model", pairs)
        loaded = load_model_source(model, inputs, runtime)
        rows = [_tokenize_preferred_first(loaded, pair) for pair in pairs]
        return _train_and_save(draft, name, loaded, rows, recipe, resolve_adapter_base(model, inputs), seed, runtime)

    return Stage(
        name=name,
        kind="reward_model",
        execute=make,
        settings={"recipe": identity_settings(recipe), "seed": seed},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
    )


def reward_table_stage(name: str, reward: Stage, split: Stage, split_names: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split with the reward model that another stage trained."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = list(
            {pair.id: pair for side in split_names for pair in load_split_pairs(inputs["split"], side)}.values()
        )
        facts = _write_rewards(draft, name, inputs["reward"].folder, pairs, runtime)
        return {**facts, "examples": inputs["reward"].record["facts"]["examples"]}

    return Stage(
        name=name,
        kind="reward_table",
        execute=make,
        settings={"sides": list(split_names)},
        input_stages={"split": split, "reward": reward},
    )


def load_rewards(artifact: Artifact) -> dict[str, ResponseScores]:
    """The rewards of both responses, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.read_rows("rewards")}


def _load_scorer_pairs(scorer: StudyRewardModel, inputs: StageInputs) -> list[Pair]:
    """The labeled pairs of the scorer's data whose prompt is nowhere in the study."""
    sides = ("labeled", "unlabeled", "test")
    taken = {normalized_prompt_hash(pair.prompt) for side in sides for pair in load_split_pairs(inputs["split"], side)}
    read = as_source(scorer.data).load().pairs
    kept = [pair for pair in read if pair.human is not None and normalized_prompt_hash(pair.prompt) not in taken]
    if not kept:
        raise DataError(
            f"trained_reward: none of {len(read)} pairs has a human label and a prompt that the study has not"
        )
    return kept


def _tokenize_preferred_first(loaded: LoadedModel, pair: Pair) -> TokenizedPair:
    first, second = (pair.a, pair.b) if pair.human == "a" else (pair.b, pair.a)
    return tokenize_pair(loaded.chat, pair.prompt, first, second)


def _train_and_save(
    draft: Draft,
    name: str,
    loaded: LoadedModel,
    rows: list[TokenizedPair],
    recipe: RewardModelSettings,
    base: Model | Path,
    seed: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains on the rows, the preferred response first, writes the model, and gives facts. An adapter goes on `base`."""
    from trimtab.models.checkpoint import save_adapter, save_full_model
    from trimtab.models.scoring.reward_head import save_reward_head
    from trimtab.training.reward_model import train_reward_model
    from trimtab.training.trainer import count_optimizer_steps

    told_to = build_training_runtime(name, seed, loaded, runtime)
    with runtime.progress(f"Training: {name}", count_optimizer_steps(len(rows), recipe), "steps") as tick:
        module, log = train_reward_model(loaded.model, rows, recipe, told_to, draft.folder, tick)
    if runtime.is_main_process:
        if recipe.lora_r:
            save_adapter(module.model, base, draft.folder)
        else:
            save_full_model(loaded, module.model, draft.folder)
        save_reward_head(module, draft.folder)
    return {**summarize_training_log(log), "examples": len(rows), "tokens": sum(map(len, rows))}


def _write_rewards(draft: Draft, name: str, folder: Path, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    """Writes the rewards of both responses of each pair, a batch at a time."""
    from trimtab.models.scoring.reward_head import RewardReader

    reader = RewardReader.load(folder, runtime.notify, runtime.device)
    rows = [tokenize_pair(reader.loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    places = {pair.id: place for place, pair in enumerate(pairs)}

    def make(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        with runtime.progress(f"Reading pairs: {name}", len(pairs), "pairs") as tick:
            tick(len(pairs) - len(ids))
            for found in reader.iter_rewards([rows[places[each]] for each in ids], runtime.token_budget):
                yield [{"key": ids[place], "a": a, "b": b} for place, (a, b) in found.items()]
                tick(len(found))

    kept = draft.resumable_rows("rewards", list(places), make)
    table = [
        {"id": found["key"], "a": found["a"], "b": found["b"], "n_a": len(row.first), "n_b": len(row.second)}
        for found, row in zip(kept, rows, strict=True)
    ]
    draft.write_rows("rewards", table, LOGPROB_SCHEMA)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows))}
