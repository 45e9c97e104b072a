"""Computes chunks of stages that other processes execute, while no stage of its own can be executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core.memory import free_memory
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_errors import describe_error
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import NoChunkLeftError, find_chunk_tables
from trimtab.storage.disk_errors import translate_os_errors


@dataclass(frozen=True)
class ChunkSharing:
    """Takes part in stages that save their rows in chunks. `source` has the inputs of the stages.

    `is_executed` tells whether another process executes a stage. `on_chunks` receives the number of chunks and the stage's
    name. A stage whose chunks fail here is left to the others, with a notice.
    """

    source: StageCache
    is_executed: Callable[[Stage], bool]
    on_chunks: Callable[[int, str], None] = lambda count, name: None
    _failed: set[str] = field(default_factory=set)
    _notices: set[str] = field(default_factory=set)

    def compute_chunks(self, stage: Stage) -> bool:
        """Computes all chunks of a stage that nobody has claimed, if another process executes it. Whether there were any."""
        folder = self.source.store.folder(stage.name, stage.recipe)
        if stage.fingerprint in self._failed or not self.is_executed(stage):
            return False
        try:
            with translate_os_errors(folder):
                if not self._has_open_chunk(stage, folder):
                    return False
                stage.run(Draft(folder=folder, helps=True), self.source.artifacts, self.source.runtime)
        except NoChunkLeftError as end:
            if end.num_computed:
                self.on_chunks(end.num_computed, stage.name)
            return end.num_computed > 0
        except Exception as error:  # noqa: BLE001 - the process that executes the stage computes the chunk, and reports its error
            self._give_up(stage, f"{describe_error(error)}; this process computes no more chunks of {stage.name}")
        finally:
            free_memory()
        return False

    def _has_open_chunk(self, stage: Stage, folder: Path) -> bool:
        """Whether the process that executes the stage shares chunks of it. Reads no model."""
        conditions = self.source.runtime.rounding_options
        for table in find_chunk_tables(folder):
            if dict(table.conditions) != conditions:
                others = _describe_conditions(table.conditions)
                self._give_up(
                    stage,
                    f"this process computes no chunks for others: it has {_describe_conditions(conditions)}, and the process "
                    f"that executes {stage.name} {others}; use the same options",
                )
                return False
            if any(table.is_open(start) for start in table.starts):
                return True
        return False

    def _give_up(self, stage: Stage, reason: str) -> None:
        self._failed.add(stage.fingerprint)
        if reason not in self._notices:
            self._notices.add(reason)
            self.source.runtime.notify(reason)


def _describe_conditions(conditions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())
