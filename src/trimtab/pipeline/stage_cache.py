"""Finds the artifact of a stage in the folder of a run or in a shared store, or executes the stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Artifact, Draft, Store
from trimtab.storage.shared_store import SharedStore, compute_content_id


@dataclass(frozen=True, slots=True)
class StageCache:
    """The finished stages of a run, and those that it shares with other runs.

    `artifacts` are those of the stages before, by fingerprint.
    """

    store: Store
    shared: SharedStore | None
    artifacts: dict[str, Artifact]
    runtime: Runtime

    def find(self, stage: Stage) -> Artifact | None:
        """The artifact in the folder of the run, copied from the shared store if necessary. None if neither has it."""
        artifact = self.store.find(stage.name, stage.recipe)
        if self.shared is None:
            return artifact
        inputs = self._input_contents(stage)
        if artifact is not None:
            self.shared.add(artifact, stage.recipe, inputs)
        elif self.shared.find(stage.recipe, inputs) is not None:
            artifact = self.shared.copy_to(self.store, stage.name, stage.recipe, inputs)
            self.runtime.notify(f"{stage.name}: from {self.shared.root}")
        return artifact

    def get_or_create(self, stage: Stage) -> Artifact:
        """Executes the stage, unless another run adds it to the shared store in the meantime."""

        def make(draft: Draft) -> Mapping[str, Any]:
            return stage.run(draft, self.artifacts, self.runtime)

        if self.shared is None:
            return self.store.get_or_create(stage.name, stage.recipe, make)
        inputs = self._input_contents(stage)
        return self.shared.get_or_create(self.store, stage.name, stage.recipe, inputs, make, self.runtime.notify)

    def _input_contents(self, stage: Stage) -> dict[str, str | None]:
        return {
            name: compute_content_id(self.artifacts[source.fingerprint].record)
            for name, source in stage.input_stages.items()
        }
