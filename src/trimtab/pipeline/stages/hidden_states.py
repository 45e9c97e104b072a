"""A table of what a model's layers hold of the pairs' responses: the difference of the two, for annotators that learn from it.

It is made once for a model and a split; probes of other settings, rounds and folds read it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.core.annotator_inputs import FeatureSpec, PairFeatures
from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, load_model_source
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import load_split_pairs
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel

HIDDEN_STATE_SCHEMA = pa.schema([("id", pa.string()), ("tokens", pa.int32())])
# Pairs whose features are safe on disk together.
HIDDEN_STATE_CHUNK = 512


def hidden_states_stage(name: str, model: ModelSource, asked: FeatureSpec, split: Stage, sides: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = list({pair.id: pair for side in sides for pair in load_split_pairs(inputs["split"], side)}.values())
        loaded = load_model_source(model, inputs, runtime)
        return write_hidden_states(draft, name, loaded, asked.layers, pairs, runtime)

    return Stage(
        name=name,
        kind="hidden_states",
        execute=make,
        settings={"layers": list(asked.layers), "sides": list(sides)},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
    )


def write_hidden_states(
    draft: Draft, name: str, loaded: LoadedModel, layers: Sequence[int], pairs: Sequence[Pair], runtime: Runtime
) -> dict[str, Any]:
    """Writes the table and gives facts for the record. `layers` as in `Features`."""
    from trimtab.models.scoring.hidden_states import HiddenStateReader

    read = HiddenStateReader(loaded, layers)
    rows = [tokenize_pair(loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    with runtime.progress(f"Reading layers: {name}", len(pairs), "pairs") as tick:
        draft.resumable_array(
            "differences",
            len(rows),
            HIDDEN_STATE_CHUNK,
            lambda place: read.compute_differences(rows[place], runtime.token_budget).numpy(),
            tick,
        )
    table = [{"id": pair.id, "tokens": len(row)} for pair, row in zip(pairs, rows, strict=True)]
    draft.write_rows("rows", table, HIDDEN_STATE_SCHEMA)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows)), "layers": list(read.layers)}


def load_hidden_states(artifact: Artifact) -> dict[str, PairFeatures]:
    """A table of features, by pair id."""
    values = artifact.read_array("differences")
    return {
        row["id"]: PairFeatures(values=values[place], tokens=row["tokens"])
        for place, row in enumerate(artifact.read_rows("rows"))
    }
