"""Lists the prompts that a study uses, so that its scorers learn from none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.data.split import SPLIT_NAMES, normalized_prompt_hash
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stages.split import as_source
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.schemas import PROMPT_HASH_SCHEMA, load_split_pairs

_TABLE = "prompts"


def source_prompts_stage(sources: Mapping[str, Component]) -> Stage:
    """The prompts of all pairs in the sources, so that studies that split the same sources differently share the result."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del inputs, runtime
        pairs = [pair for source in sources.values() for pair in as_source(source).load().pairs]
        return _write_hashes(draft, {normalized_prompt_hash(pair.prompt) for pair in pairs})

    return Stage(
        name="study-prompts",
        kind="source_prompts",
        execute=execute,
        settings={"sources": {name: identity_settings(source) for name, source in sources.items()}},
        external_hashes={f"source.{name}": as_source(source).content_hash() for name, source in sources.items()},
    )


def split_prompts_stage(split: Stage) -> Stage:
    """The prompts of the pairs in the splits. The rest of a source that is split can be used otherwise."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = [pair for name in SPLIT_NAMES for pair in load_split_pairs(inputs["split"], name)]
        return _write_hashes(draft, {normalized_prompt_hash(pair.prompt) for pair in pairs})

    return Stage(name="study-prompts", kind="split_prompts", execute=execute, input_stages={"split": split})


def load_prompt_hashes(artifact: Artifact) -> frozenset[str]:
    """The hashes that one of these stages wrote."""
    return frozenset(row["prompt_hash"] for row in artifact.read_rows(_TABLE, PROMPT_HASH_SCHEMA))


def _write_hashes(draft: Draft, hashes: set[str]) -> Mapping[str, Any]:
    draft.write_rows(_TABLE, [{"prompt_hash": each} for each in sorted(hashes)], PROMPT_HASH_SCHEMA)
    return {"prompts": len(hashes)}
