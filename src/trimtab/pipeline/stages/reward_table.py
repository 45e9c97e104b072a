"""A table of the rewards that a trained reward model gives to both responses of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.core.annotator_inputs import ResponseScores
from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import LOGPROB_SCHEMA, load_split_pairs
from trimtab.types import Pair

# Number of pairs whose rewards are saved together. A constant: batches are formed inside a chunk.
REWARD_CHUNK = 512


def reward_table_stage(name: str, reward_model: Stage, split: Stage, split_names: Sequence[str]) -> Stage:
    """Computes rewards for the pairs of these splits with the model that `reward_model` trained."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = {pair.id: pair for name in split_names for pair in load_split_pairs(inputs["split"], name)}
        facts = _write_rewards(draft, name, inputs["reward_model"].folder, list(pairs.values()), runtime)
        return {**facts, "examples": inputs["reward_model"].record["facts"]["examples"]}

    return Stage(
        name=name,
        kind="reward_table",
        role="pair_table",
        version=2,  # batches are formed inside a chunk
        execute=execute,
        settings={"splits": list(split_names)},
        input_stages={"split": split, "reward_model": reward_model},
        work=Work(
            rate_key="reward_table",
            unit="tokens",
            fact="tokens",
            splits=tuple(split_names),
            model_input="reward_model",
        ),
    )


def load_rewards(artifact: Artifact) -> dict[str, ResponseScores]:
    """The rewards of both responses, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.read_rows("rewards", LOGPROB_SCHEMA)}


def _write_rewards(draft: Draft, name: str, folder: Path, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    from trimtab.models.scoring.reward_head import RewardReader

    reader = RewardReader.load(folder, runtime.notify, runtime.device)
    rows = [tokenize_pair(reader.loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    with runtime.progress(f"Scoring pairs: {name}", len(pairs), "pairs") as tick:

        def compute(part: slice) -> list[dict[str, Any]]:
            rewards: dict[int, tuple[float, float]] = {}
            for batch in reader.iter_rewards(rows[part], runtime.token_budget):
                rewards |= batch
                tick(len(batch))
            return [{"a": rewards[index][0], "b": rewards[index][1]} for index in range(len(rewards))]

        chunking = Chunking(num_rows=len(rows), size=REWARD_CHUNK, conditions=runtime.rounding_options, on_load=tick)
        scored = draft.compute_rows("rewards", chunking, compute)
    table = [
        {"id": pair.id, **scores, "n_a": len(row.first), "n_b": len(row.second)}
        for pair, scores, row in zip(pairs, scored, rows, strict=True)
    ]
    draft.write_rows("rewards", table, LOGPROB_SCHEMA)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows))}
