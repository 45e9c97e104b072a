"""Sentence embeddings of responses: those of a model, and the human-preferred ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimtab.core.runtime import Runtime
from trimtab.models.embeddings.registry import compute_encoder_hash, fetch_encoder
from trimtab.pipeline.stage import Stage, StageFunction, StageInputs, Work
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import load_completions, load_split_pairs

# Number of texts whose embeddings are saved together.
EMBEDDING_CHUNK = 2048
EMBEDDING_SCHEMA = pa.schema([("prompt_id", pa.string())])


def response_embeddings_stage(name: str, encoder: str, completions: Stage) -> Stage:
    """Embeds the responses that another stage generated."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        texts = [(completion.prompt_id, completion.text) for completion in load_completions(inputs["completions"])]
        return _write_embeddings(draft, name, encoder, texts, runtime)

    return _build_stage(name, execute, encoder, "completions", completions, prompt_limit(completions))


def preferred_embeddings_stage(name: str, encoder: str, split: Stage) -> Stage:
    """Embeds the human-preferred response of every test pair that has a human label."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        return _write_embeddings(draft, name, encoder, list_preferred_responses(inputs["split"]), runtime)

    return _build_stage(name, execute, encoder, "split", split, None)


def list_preferred_responses(split: Artifact) -> list[tuple[str, str]]:
    """The prompt id and the human-preferred response of every test pair that has a human label."""
    return [
        (pair.prompt_id, pair.response(pair.human))
        for pair in load_split_pairs(split, "test")
        if pair.human is not None
    ]


def _build_stage(
    name: str, execute: StageFunction, encoder: str, source: str, stage: Stage, limit: int | None
) -> Stage:
    return Stage(
        name=name,
        kind="embeddings",
        role="evaluation",
        execute=execute,
        settings={"source": source},
        input_stages={source: stage},
        external_hashes={"encoder": compute_encoder_hash(encoder)},
        work=Work(rate_key="embeddings", unit="prompts", fact="texts", limit=limit, model_input="encoder"),
    )


def _write_embeddings(
    draft: Draft, name: str, encoder: str, texts: Sequence[tuple[str, str]], runtime: Runtime
) -> dict[str, Any]:
    """`texts` are prompt ids and responses."""
    from trimtab.models.embeddings.encoder import load_encoder

    draft.write_rows("rows", [{"prompt_id": prompt_id} for prompt_id, _ in texts], EMBEDDING_SCHEMA)
    if not texts:
        return {"texts": 0}
    embed = load_encoder(fetch_encoder(encoder, runtime.notify), runtime.device)
    with runtime.progress(f"Embedding: {name}", len(texts), "texts") as tick:

        def compute(part: slice) -> NDArray[np.float32]:
            embeddings: NDArray[np.float32] = embed([text for _, text in texts[part]], runtime.token_budget).numpy()
            tick(len(embeddings))
            return embeddings

        chunking = Chunking(
            num_rows=len(texts), size=EMBEDDING_CHUNK, conditions=runtime.rounding_options, on_load=tick
        )
        draft.compute_array("embeddings", chunking, compute)
    return {"texts": len(texts)}


def load_embeddings(artifact: Artifact) -> dict[str, NDArray[np.float32]]:
    """The embeddings of each prompt's texts, shape (texts, d): one text for a response, one per preferred response."""
    indices: dict[str, list[int]] = {}
    for index, row in enumerate(artifact.read_rows("rows", EMBEDDING_SCHEMA)):
        indices.setdefault(row["prompt_id"], []).append(index)
    if not indices:
        return {}
    embeddings = artifact.read_array("embeddings")
    return {prompt_id: embeddings[rows] for prompt_id, rows in indices.items()}
