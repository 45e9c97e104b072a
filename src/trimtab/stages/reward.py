"""Reward models that the study trains: gold rewards on human pairs from elsewhere, supervisors on the labeled pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.annotators._learning import checked_to_learn
from trimtab.data.split import normalized
from trimtab.errors import DataError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.lm.rows import Row, batches, encode
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
    from trimtab.lm.rewards import ResponseRewards


def reward_stage(name: str, scorer: TrainedReward, split: Stage, max_tokens: int, seed: int) -> Stage:
    """Trains the reward model on the scorer's data without the prompts of the study, and reads the test pairs with it."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        loaded = load(scorer.model, inputs, runtime)
        pairs = _elsewhere(scorer, inputs)
        rows = [row for pair in pairs if (row := _row(loaded, pair)).longest_text <= max_tokens]
        job = _Job(name, scorer.recipe, seed, scorer.model, ("test",))
        return job.done(draft, loaded, rows, inputs, runtime)

    return Stage(
        name=name,
        kind="reward",
        make=make,
        settings={"scorer": told(scorer), "max_tokens": max_tokens, "seed": seed},
        needs={"split": split},
        identities={**identities(scorer.model), "source": as_source(scorer.data).identity()},
    )


def supervisor_stage(
    name: str, model: ModelSource, recipe: Reward, split: Stage, sides: Sequence[str], seed: int
) -> Stage:
    """Trains a reward model on the labeled pairs of the split, and reads the pairs of these sides with it."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = pairs_of(inputs["split"], "labeled")
        checked_to_learn("reward_model", pairs)
        loaded = load(model, inputs, runtime)
        job = _Job(name, recipe, seed, base_of(model, inputs), sides)
        return job.done(draft, loaded, [_row(loaded, pair) for pair in pairs], inputs, runtime)

    return Stage(
        name=name,
        kind="reward",
        make=make,
        settings={"recipe": told(recipe), "sides": list(sides), "seed": seed},
        needs={"split": split, **needs(model)},
        identities=identities(model),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What a reward model is trained from, and which pairs it reads afterwards."""

    name: str
    recipe: Reward
    seed: int
    base: Model | Path
    sides: Sequence[str]

    def done(
        self, draft: Draft, loaded: Loaded, rows: list[Row], inputs: Inputs, runtime: Runtime
    ) -> Mapping[str, Any]:
        """Trains on the rows, the preferred response first, writes the model and its rewards, and gives facts."""
        from trimtab.lm.models import save_adapter, save_whole
        from trimtab.lm.rewards import save_head
        from trimtab.training.loop import n_steps
        from trimtab.training.reward import reward

        told_to = setup(self.name, self.seed, loaded, runtime)
        with runtime.progress(f"Training: {self.name}", n_steps(len(rows), self.recipe), "steps") as tick:
            module, log = reward(loaded.model, rows, self.recipe, told_to, draft.folder, tick)
        if runtime.leads:
            if self.recipe.lora_rank:
                save_adapter(module.model, self.base, draft.folder)
            else:
                save_whole(loaded, module.model, draft.folder)
            save_head(module, draft.folder)
            pairs = {pair.id: pair for side in self.sides for pair in pairs_of(inputs["split"], side)}
            draft.write_rows("rewards", list(_read(module, loaded, list(pairs.values()), runtime)), LOGPROBS)
        return {**log_facts(log), "examples": len(rows), "tokens": sum(map(len, rows))}


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


def _read(module: ResponseRewards, loaded: Loaded, pairs: Sequence[Pair], runtime: Runtime) -> Iterator[dict[str, Any]]:
    """The rewards of both responses of each pair."""
    from trimtab.lm.forms import choose_form
    from trimtab.lm.rewards import rewards

    module.eval()
    form = choose_form(module.model)
    rows = [encode(loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    for places in batches([len(row) for row in rows], runtime.token_budget):
        found = rewards(module, [rows[place] for place in places], loaded.pad_id, form)
        for place, (a, b) in zip(places, found, strict=True):
            row = rows[place]
            yield {"id": pairs[place].id, "a": a, "b": b, "n_a": len(row.first), "n_b": len(row.second)}
