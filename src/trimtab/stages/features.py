"""A table of what a model's layers hold of the pairs' responses: the difference of the two, for annotators that learn from it.

It is made once for a model and a split; probes of other settings, rounds and folds read it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.lm.rows import encode
from trimtab.protocols import FeatureRow, Features, Runtime
from trimtab.stages.models import ModelSource, identities, load, needs
from trimtab.stages.stage import Inputs, Stage
from trimtab.stages.tables import pairs_of
from trimtab.store import Artifact, Draft
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded

ROWS = pa.schema([("id", pa.string()), ("tokens", pa.int32())])
# Pairs whose features are safe on disk together.
CHUNK = 512


def features_stage(name: str, model: ModelSource, asked: Features, split: Stage, sides: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = list({pair.id: pair for side in sides for pair in pairs_of(inputs["split"], side)}.values())
        loaded = load(model, inputs, runtime)
        return write_features(draft, name, loaded, asked.layers, pairs, runtime)

    return Stage(
        name=name,
        kind="features",
        make=make,
        settings={"layers": list(asked.layers), "sides": list(sides)},
        needs={"split": split, **needs(model)},
        identities=identities(model),
    )


def write_features(
    draft: Draft, name: str, loaded: Loaded, layers: Sequence[int], pairs: Sequence[Pair], runtime: Runtime
) -> dict[str, Any]:
    """Writes the table and gives facts for the record. `layers` as in `Features`."""
    from trimtab.lm.features import FeatureReader

    read = FeatureReader(loaded, layers)
    rows = [encode(loaded.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    with runtime.progress(f"Reading layers: {name}", len(pairs), "pairs") as tick:
        draft.keep_array(
            "differences",
            len(rows),
            CHUNK,
            lambda place: read.differences(rows[place], runtime.token_budget).numpy(),
            tick,
        )
    table = [{"id": pair.id, "tokens": len(row)} for pair, row in zip(pairs, rows, strict=True)]
    draft.write_rows("rows", table, ROWS)
    return {"pairs": len(pairs), "tokens": sum(map(len, rows)), "layers": list(read.layers)}


def features_of(artifact: Artifact) -> dict[str, FeatureRow]:
    """A table of features, by pair id."""
    values = artifact.array("differences")
    return {
        row["id"]: FeatureRow(values=values[place], tokens=row["tokens"])
        for place, row in enumerate(artifact.rows("rows"))
    }
