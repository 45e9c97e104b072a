"""Finds artifacts that were made from labels that no longer exist."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.pipeline.engine_resources import ENGINE_PREFIX
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Store


def find_stale_stages(stages: Sequence[Stage], store: Store) -> list[Stage]:
    """The stages with an artifact that depends on labels that will be regenerated. `stages` are in topological order.

    Labels from an engine can differ when they are regenerated, because a request that failed before may succeed. The
    fingerprint stays the same, so nothing else reveals which artifacts depend on the old labels.
    """
    regenerated: set[str] = set()
    stale: list[Stage] = []
    for stage in stages:
        if any(source.fingerprint in regenerated for source in stage.input_stages.values()):
            regenerated.add(stage.fingerprint)
            if store.folders(stage.recipe):
                stale.append(stage)
        elif _queries_engines(stage) and store.find(stage.name, stage.recipe) is None:
            regenerated.add(stage.fingerprint)
    return stale


def _queries_engines(stage: Stage) -> bool:
    return stage.role == "annotation" and any(name.startswith(ENGINE_PREFIX) for name in stage.recipe.inputs)
