"""A table of hidden-state differences between the two responses of each pair, for annotators that learn from them.

It is computed once for a model and a split. Probes with other settings, rounds and folds reuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trimtab.core.annotator_inputs import FeatureSpec, PairFeatures
from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, resolve_model
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import load_split_pairs
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel

HIDDEN_STATE_SCHEMA = pa.schema([("id", pa.string()), ("tokens", pa.int32())])
# Number of pairs whose hidden states are saved together.
HIDDEN_STATE_CHUNK = 512


def hidden_states_stage(
    name: str, model: ModelSource, features: FeatureSpec, split: Stage, split_names: Sequence[str]
) -> Stage:
    """Computes hidden states for the pairs of these splits. The model in `features` has been resolved to `model`."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = {pair.id: pair for name in split_names for pair in load_split_pairs(inputs["split"], name)}
        loaded = resolve_model(model, inputs).load(runtime.notify, runtime.device)
        return write_hidden_states(draft, name, loaded, features.layers, list(pairs.values()), runtime)

    return Stage(
        name=name,
        kind="hidden_states",
        role="pair_table",
        execute=execute,
        settings={"layers": list(features.layers), "splits": list(split_names)},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
        work=Work(rate_key="hidden_states", unit="tokens", fact="tokens", splits=tuple(split_names)),
    )


def write_hidden_states(
    draft: Draft, name: str, loaded: LoadedModel, layers: Sequence[int], pairs: Sequence[Pair], runtime: Runtime
) -> dict[str, Any]:
    """Writes the table and returns facts for the record. `layers` as in `FeatureSpec`."""
    from trimtab.models.scoring.hidden_states import HiddenStateReader

    reader = HiddenStateReader(loaded, layers)
    rows = [tokenize_pair(loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    with runtime.progress(f"Computing hidden states: {name}", len(pairs), "pairs") as tick:

        def compute(part: slice) -> NDArray[np.float32]:
            differences: NDArray[np.float32] = reader.compute_differences(rows[part], runtime.token_budget).numpy()
            tick(len(differences))
            return differences

        chunking = Chunking(
            num_rows=len(rows), size=HIDDEN_STATE_CHUNK, conditions=runtime.rounding_options, on_load=tick
        )
        draft.compute_array("differences", chunking, compute)
    table = [{"id": pair.id, "tokens": len(row)} for pair, row in zip(pairs, rows, strict=True)]
    draft.write_rows("rows", table, HIDDEN_STATE_SCHEMA)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows)), "layers": list(reader.layers)}


def load_hidden_states(artifact: Artifact) -> dict[str, PairFeatures]:
    """The hidden-state differences, by pair id."""
    differences = artifact.read_array("differences")
    return {
        row["id"]: PairFeatures(values=differences[index], tokens=row["tokens"])
        for index, row in enumerate(artifact.read_rows("rows", HIDDEN_STATE_SCHEMA))
    }
