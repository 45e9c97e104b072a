"""What no longer belongs to the labels that it was made from, since these are asked for anew."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Store

ENGINE_PREFIX = "engine."


def find_stale_stages(stages: Sequence[Stage], store: Store) -> list[Stage]:
    """Those of the stages, needs first, of which there is something in the store that was made from labels which are not.

    Labels that models are asked for come out otherwise where an answer that had failed is given the second time, under the
    same fingerprint: nothing else tells what was made from the old ones.
    """
    anew: set[str] = set()
    found: list[Stage] = []
    for stage in stages:
        recipe = stage.recipe
        if any(need.recipe.fingerprint in anew for need in stage.input_stages.values()):
            anew.add(recipe.fingerprint)
            if store.folders(recipe):
                found.append(stage)
        elif _queries_engines(stage) and store.find(stage.name, recipe) is None:
            anew.add(recipe.fingerprint)
    return found


def _queries_engines(stage: Stage) -> bool:
    return stage.kind == "annotate" and any(name.startswith(ENGINE_PREFIX) for name in stage.recipe.inputs)
