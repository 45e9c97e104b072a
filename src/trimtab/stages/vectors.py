"""Answers, and the responses that people preferred, as a sentence encoder's vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimtab.evaluation.similarity import Similarity
from trimtab.protocols import Runtime
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import completions_of, pairs_of
from trimtab.store import Artifact, Draft

# Texts whose vectors are safe on disk together.
CHUNK = 2048
ROWS = pa.schema([("prompt_id", pa.string())])


def answer_vectors_stage(name: str, similarity: Similarity, completions: Stage) -> Stage:
    """The vectors of the answers that another stage generated."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = [(each.prompt_id, each.text) for each in completions_of(inputs["completions"])]
        return _write(draft, name, similarity, answers, runtime)

    return _stage(name, make, similarity, "completions", completions)


def preferred_vectors_stage(name: str, similarity: Similarity, split: Stage) -> Stage:
    """The vectors of the responses that people preferred, of every test pair with a human label."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = [pair for pair in pairs_of(inputs["split"], "test") if pair.human is not None]
        preferred = [(pair.prompt_id, pair.response(pair.human)) for pair in pairs if pair.human is not None]
        return _write(draft, name, similarity, preferred, runtime)

    return _stage(name, make, similarity, "split", split)


def _stage(name: str, make: Any, similarity: Similarity, need: str, stage: Stage) -> Stage:
    return Stage(
        name=name,
        kind="vectors",
        make=make,
        settings={"similarity": told(similarity), "of": need},
        needs={need: stage},
        identities={"encoder": similarity.identity()},
    )


def _write(
    draft: Draft, name: str, similarity: Similarity, texts: Sequence[tuple[str, str]], runtime: Runtime
) -> dict[str, Any]:
    draft.write_rows("rows", [{"prompt_id": key} for key, _ in texts], ROWS)
    if not texts:
        return {"texts": 0}
    with runtime.progress(f"Encoding: {name}", len(texts), "texts") as tick:
        draft.keep_array(
            "vectors",
            len(texts),
            CHUNK,
            lambda place: similarity.vectors([text for _, text in texts[place]], runtime),
            tick,
        )
    return {"texts": len(texts)}


def vectors_of(artifact: Artifact) -> dict[str, NDArray[np.float32]]:
    """The vectors of each prompt's texts, shape (texts, d); one for an answer, one for each pair that people labeled."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(artifact.rows("rows")):
        places.setdefault(row["prompt_id"], []).append(place)
    values = artifact.array("vectors") if places else None
    return {key: values[rows] for key, rows in places.items() if values is not None}
