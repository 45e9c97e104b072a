"""Answers, and the responses that people preferred, as a sentence encoder's vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.core.runtime import Runtime
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import load_completions, load_split_pairs

# Texts whose vectors are safe on disk together.
EMBEDDING_CHUNK = 2048
EMBEDDING_SCHEMA = pa.schema([("prompt_id", pa.string())])


def response_embeddings_stage(name: str, similarity: ResponseSimilarity, completions: Stage) -> Stage:
    """The vectors of the answers that another stage generated."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = [(each.prompt_id, each.text) for each in load_completions(inputs["completions"])]
        return _write_embeddings(draft, name, similarity, answers, runtime)

    return _build_stage(name, make, similarity, "completions", completions)


def preferred_embeddings_stage(name: str, similarity: ResponseSimilarity, split: Stage) -> Stage:
    """The vectors of the responses that people preferred, of every test pair with a human label."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = [pair for pair in load_split_pairs(inputs["split"], "test") if pair.human is not None]
        preferred = [(pair.prompt_id, pair.response(pair.human)) for pair in pairs if pair.human is not None]
        return _write_embeddings(draft, name, similarity, preferred, runtime)

    return _build_stage(name, make, similarity, "split", split)


def _build_stage(name: str, make: Any, similarity: ResponseSimilarity, need: str, stage: Stage) -> Stage:
    return Stage(
        name=name,
        kind="embeddings",
        execute=make,
        settings={"similarity": identity_settings(similarity), "of": need},
        input_stages={need: stage},
        external_hashes={"encoder": similarity.content_hash()},
    )


def _write_embeddings(
    draft: Draft, name: str, similarity: ResponseSimilarity, texts: Sequence[tuple[str, str]], runtime: Runtime
) -> dict[str, Any]:
    draft.write_rows("rows", [{"prompt_id": key} for key, _ in texts], EMBEDDING_SCHEMA)
    if not texts:
        return {"texts": 0}
    with runtime.progress(f"Encoding: {name}", len(texts), "texts") as tick:
        draft.resumable_array(
            "embeddings",
            len(texts),
            EMBEDDING_CHUNK,
            lambda place: similarity.embed([text for _, text in texts[place]], runtime),
            tick,
        )
    return {"texts": len(texts)}


def load_embeddings(artifact: Artifact) -> dict[str, NDArray[np.float32]]:
    """The vectors of each prompt's texts, shape (texts, d); one for an answer, one for each pair that people labeled."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(artifact.read_rows("rows")):
        places.setdefault(row["prompt_id"], []).append(place)
    values = artifact.read_array("embeddings") if places else None
    return {key: values[rows] for key, rows in places.items() if values is not None}
