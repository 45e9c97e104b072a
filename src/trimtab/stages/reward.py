"""Reward models that the study trains: gold rewards on human pairs from elsewhere, supervisors on the labeled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.annotators._learning import checked_to_learn
from trimtab.data.split import normalized
from trimtab.errors import DataError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.lm.rows import Row, encode
from trimtab.lm.weights import Model
from trimtab.protocols import ResponseScores, Runtime
from trimtab.stages.models import ModelSource, base_of, identities, load, needs
from trimtab.stages.split import as_source
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import LOGPROBS, pairs_of
from trimtab.stages.train import log_facts, setup
from trimtab.store import Artifact, Draft
from trimtab.training.settings import Reward
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded


def reward_stage(name: str, scorer: TrainedReward, split: Stage, max_tokens: int, seed: int) -> Stage:
    """Trains the reward model on the scorer's data without the prompts of the study."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        loaded = load(scorer.model, inputs, runtime)
        pairs = _elsewhere(scorer, inputs)
        rows = [row for pair in pairs if (row := _row(loaded, pair)).longest_text <= max_tokens]
        return _trained(draft, name, loaded, rows, scorer.recipe, scorer.model, seed, runtime)

    return Stage(
        name=name,
        kind="reward",
        make=make,
        settings={"scorer": told(scorer), "max_tokens": max_tokens, "seed": seed},
        needs={"split": split},
        identities={**identities(scorer.model), "source": as_source(scorer.data).identity()},
    )


def supervisor_stage(name: str, model: ModelSource, recipe: Reward, split: Stage, seed: int) -> Stage:
    """Trains a reward model on the labeled pairs of the split."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = pairs_of(inputs["split"], "labeled")
        checked_to_learn("reward_model", pairs)
        loaded = load(model, inputs, runtime)
        rows = [_row(loaded, pair) for pair in pairs]
        return _trained(draft, name, loaded, rows, recipe, base_of(model, inputs), seed, runtime)

    return Stage(
        name=name,
        kind="reward",
        make=make,
        settings={"recipe": told(recipe), "seed": seed},
        needs={"split": split, **needs(model)},
        identities=identities(model),
    )


def read_rewards_stage(name: str, reward: Stage, split: Stage, sides: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split with the reward model that another stage trained."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = list({pair.id: pair for side in sides for pair in pairs_of(inputs["split"], side)}.values())
        facts = _read(draft, name, inputs["reward"].folder, pairs, runtime)
        return {**facts, "examples": inputs["reward"].record["facts"]["examples"]}

    return Stage(
        name=name,
        kind="read_rewards",
        make=make,
        settings={"sides": list(sides)},
        needs={"split": split, "reward": reward},
    )


def rewards_of(artifact: Artifact) -> dict[str, ResponseScores]:
    """The rewards of both responses, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.rows("rewards")}


def _elsewhere(scorer: TrainedReward, inputs: Inputs) -> list[Pair]:
    """The labeled pairs of the scorer's data whose prompt is nowhere in the study."""
    sides = ("labeled", "unlabeled", "test")
    taken = {normalized(pair.prompt) for side in sides for pair in pairs_of(inputs["split"], side)}
    read = as_source(scorer.data).load().pairs
    kept = [pair for pair in read if pair.human is not None and normalized(pair.prompt) not in taken]
    if not kept:
        raise DataError(
            f"trained_reward: none of {len(read)} pairs has a human label and a prompt that the study has not"
        )
    return kept


def _row(loaded: Loaded, pair: Pair) -> Row:
    first, second = (pair.a, pair.b) if pair.human == "a" else (pair.b, pair.a)
    return encode(loaded.chat, pair.prompt, first, second)


def _trained(
    draft: Draft,
    name: str,
    loaded: Loaded,
    rows: list[Row],
    recipe: Reward,
    base: Model | Path,
    seed: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """Trains on the rows, the preferred response first, writes the model, and gives facts. An adapter goes on `base`."""
    from trimtab.lm.models import save_adapter, save_whole
    from trimtab.lm.rewards import save_head
    from trimtab.training.loop import n_steps
    from trimtab.training.reward import reward

    told_to = setup(name, seed, loaded, runtime)
    with runtime.progress(f"Training: {name}", n_steps(len(rows), recipe), "steps") as tick:
        module, log = reward(loaded.model, rows, recipe, told_to, draft.folder, tick)
    if runtime.leads:
        if recipe.lora_rank:
            save_adapter(module.model, base, draft.folder)
        else:
            save_whole(loaded, module.model, draft.folder)
        save_head(module, draft.folder)
    return {**log_facts(log), "examples": len(rows), "tokens": sum(map(len, rows))}


def _read(draft: Draft, name: str, folder: Path, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    """Writes the rewards of both responses of each pair, a batch at a time."""
    from trimtab.lm.rewards import RewardReader

    reader = RewardReader.opened(folder, runtime.notify, runtime.device)
    rows = [encode(reader.loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    places = {pair.id: place for place, pair in enumerate(pairs)}

    def make(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        with runtime.progress(f"Reading pairs: {name}", len(pairs), "pairs") as tick:
            tick(len(pairs) - len(ids))
            for found in reader.read([rows[places[each]] for each in ids], runtime.token_budget):
                yield [{"key": ids[place], "a": a, "b": b} for place, (a, b) in found.items()]
                tick(len(found))

    kept = draft.keep("rewards", list(places), make)
    table = [
        {"id": found["key"], "a": found["a"], "b": found["b"], "n_a": len(row.first), "n_b": len(row.second)}
        for found, row in zip(kept, rows, strict=True)
    ]
    draft.write_rows("rewards", table, LOGPROBS)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows))}
