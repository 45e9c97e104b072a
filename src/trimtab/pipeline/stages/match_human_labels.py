"""Human labels of a round's pairs, from a source of pairs that were labeled by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stages.split import as_source
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import ANNOTATION_SCHEMA, annotations_to_rows, load_split_pairs
from trimtab.types import build_human_annotation


def match_human_labels_stage(name: str, source: Component, pairs: Stage) -> Stage:
    """The human labels of those `unlabeled` pairs that occur in the source with the same texts."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        known = {pair.id: pair for pair in as_source(source).load().pairs if pair.human is not None}
        sampled = load_split_pairs(inputs["pairs"], "unlabeled")
        labels = [build_human_annotation(known[pair.id]) for pair in sampled if pair.id in known]
        draft.write_rows("annotations", annotations_to_rows(labels), ANNOTATION_SCHEMA)
        if not labels:
            runtime.notify(f"{name}: none of {len(known)} labeled pairs in rounds.human_labels is a pair of this round")
        return {"pairs": len(labels)}

    return Stage(
        name=name,
        kind="match_human_labels",
        execute=execute,
        role="evaluation",
        settings={"source": identity_settings(source)},
        input_stages={"pairs": pairs},
        external_hashes={"source": as_source(source).content_hash()},
    )
