"""Learned similarity of responses to the human-preferred responses, such as BLEURT (Tao & Li 2025, figure 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa

from trimtab.core.runtime import Runtime
from trimtab.models.embeddings.registry import compute_regressor_hash, fetch_regressor
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.pipeline.stages.embed import list_preferred_responses
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import load_completions

# Number of pairs whose scores are saved together.
PAIRS_PER_PART = 2048
SIMILARITY_SCHEMA = pa.schema([("prompt_id", pa.string()), ("value", pa.float64()), ("truncated", pa.bool_())])


def learned_similarity_stage(name: str, regressor: str, split: Stage, completions: Stage) -> Stage:
    """Scores each response against every human-preferred response to its prompt, one row per preferred response.

    Prompts without a human label have no row. The fact `truncated` counts pairs that are longer than the model's maximum.
    """

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        responses = {each.prompt_id: each.text for each in load_completions(inputs["completions"])}
        preferred = [row for row in list_preferred_responses(inputs["split"]) if row[0] in responses]
        rows = _score_responses(draft, name, regressor, preferred, responses, runtime) if preferred else []
        columns = [{column: row[column] for column in SIMILARITY_SCHEMA.names} for row in rows]
        draft.write_rows("similarities", columns, SIMILARITY_SCHEMA)
        return {"texts": len(rows), "truncated": sum(row["truncated"] for row in rows)}

    return Stage(
        name=name,
        kind="learned_similarity",
        role="evaluation",
        execute=execute,
        input_stages={"split": split, "completions": completions},
        external_hashes={"regressor": compute_regressor_hash(regressor)},
        work=Work(
            rate_key="learned_similarity",
            unit="prompts",
            fact="texts",
            limit=prompt_limit(completions),
            model_input="regressor",
        ),
    )


def _score_responses(
    draft: Draft,
    name: str,
    regressor: str,
    preferred: Sequence[tuple[str, str]],
    responses: Mapping[str, str],
    runtime: Runtime,
) -> list[dict[str, Any]]:
    """The rows in the order of `preferred`, which are prompt ids and texts."""
    from trimtab.models.embeddings.pair_regressor import load_pair_regressor

    score = load_pair_regressor(fetch_regressor(regressor, runtime.notify), runtime.device)
    with runtime.progress(f"Similarity: {name}", len(preferred), "responses") as tick:

        def score_part(part: slice) -> list[dict[str, Any]]:
            pairs = preferred[part]
            scores = score(
                [text for _, text in pairs], [responses[prompt_id] for prompt_id, _ in pairs], runtime.token_budget
            )
            tick(len(pairs))
            return [
                {"prompt_id": prompt_id, "value": value, "truncated": truncated}
                for (prompt_id, _), value, truncated in zip(
                    pairs, scores.values.tolist(), scores.truncated, strict=True
                )
            ]

        chunking = Chunking(
            num_rows=len(preferred), size=PAIRS_PER_PART, conditions=runtime.rounding_options, on_load=tick
        )
        return draft.compute_rows("similarities", chunking, score_part)


def load_learned_similarities(artifact: Artifact) -> dict[str, float]:
    """The similarity of each response to the preferred responses, by prompt id: their mean if a prompt has several."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in artifact.read_rows("similarities", SIMILARITY_SCHEMA):
        values[row["prompt_id"]].append(row["value"])
    return {prompt_id: fmean(each) for prompt_id, each in values.items()}
