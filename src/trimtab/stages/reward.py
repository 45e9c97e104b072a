"""The study's own gold reward model: trained on human pairs from elsewhere, checked on the test pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.data.split import normalized
from trimtab.errors import DataError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.lm.rows import Row, batches, encode
from trimtab.protocols import Runtime
from trimtab.stages.models import identities, load
from trimtab.stages.split import as_source
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import LOGPROBS, pairs_of
from trimtab.stages.train import log_facts, setup
from trimtab.store import Draft
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded
    from trimtab.lm.rewards import ResponseRewards


def reward_stage(name: str, scorer: TrainedReward, split: Stage, max_tokens: int, seed: int) -> Stage:
    """Trains the reward model on the scorer's data without the prompts of the study, and reads the test pairs with it."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.lm.models import save_adapter
        from trimtab.lm.rewards import save_head
        from trimtab.training.loop import n_steps
        from trimtab.training.reward import reward

        loaded = load(scorer.model, inputs, runtime)
        pairs = _elsewhere(scorer, inputs)
        rows = [row for pair in pairs if (row := _row(loaded, pair)).longest_text <= max_tokens]
        told_to = setup(name, seed, loaded, runtime)
        with runtime.progress(f"Training: {name}", n_steps(len(rows), scorer.recipe), "steps") as tick:
            module, log = reward(loaded.model, rows, scorer.recipe, told_to, draft.folder, tick)
        if runtime.leads:
            save_adapter(module.model, scorer.model, draft.folder)
            save_head(module, draft.folder)
            test = pairs_of(inputs["split"], "test")
            draft.write_rows("rewards", list(_read(module, loaded, test, runtime)), LOGPROBS)
        return {**log_facts(log), "examples": len(rows), "tokens": sum(map(len, rows))}

    return Stage(
        name=name,
        kind="reward",
        make=make,
        settings={"scorer": told(scorer), "max_tokens": max_tokens, "seed": seed},
        needs={"split": split},
        identities={**identities(scorer.model), "source": as_source(scorer.data).identity()},
    )


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
