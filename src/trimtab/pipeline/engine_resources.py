"""The engines of a component: their identity in fingerprints, how they are started, and their completion cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trimtab.core.component import Settings
from trimtab.core.engine_lifetime import open_engines
from trimtab.core.interfaces import Engine, EngineConfig
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.pipeline.completion_cache import COMPLETIONS_DIR, CachedEngine
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, resolve_model
from trimtab.storage.artifacts import Draft
from trimtab.storage.recipe import canonical_json

ENGINE_PREFIX = "engine."


def completions_dir(draft: Draft) -> Path:
    """The run's folder of cached completions."""
    return draft.folder.parent.parent / COMPLETIONS_DIR


@dataclass(frozen=True, kw_only=True)
class EngineResources:
    """Engine settings by the names that a component gives them. `study_models` are those that are the study's own models."""

    configs: Mapping[str, EngineConfig] = field(default_factory=dict)
    study_models: Mapping[str, ModelSource] = field(default_factory=dict)

    def input_stages(self) -> dict[str, Stage]:
        """The stages that trained the study's models."""
        return {
            input_name: stage
            for name, model in self.study_models.items()
            for input_name, stage in as_input_stages(model, f"{ENGINE_PREFIX}{name}").items()
        }

    def external_hashes(self) -> dict[str, str]:
        """Content hashes of the engines that the study did not train."""
        external = {
            f"{ENGINE_PREFIX}{name}": config.content_hash()
            for name, config in self.configs.items()
            if name not in self.study_models
        }
        published = {
            input_name: content_hash
            for name, model in self.study_models.items()
            for input_name, content_hash in as_external_hashes(model, f"{ENGINE_PREFIX}{name}").items()
        }
        return {**external, **published}

    def main_input(self) -> str:
        """The stage input of the engine that generates most: `engine.strong` if there is one, else `engine.weak`."""
        return min((*self.input_stages(), *self.external_hashes()), default="")

    @contextmanager
    def open_engines(self, draft: Draft, inputs: StageInputs, runtime: Runtime) -> Iterator[dict[str, Engine]]:
        """Starts every engine, with the run's completion cache, and closes them at the end."""
        folder = completions_dir(draft)
        # equal settings share one engine, which has the first of their names
        owners = {name: self._find_owner(name) for name in self.configs}
        start_functions = {name: partial(self._start, name, inputs, runtime) for name in dict.fromkeys(owners.values())}
        with open_engines(start_functions) as engines:
            yield {
                name: CachedEngine(
                    engine=engines[owner], cache_key=self.cache_key(name, inputs), folder=folder, notify=runtime.notify
                )
                for name, owner in owners.items()
            }

    def cache_key(self, name: str, inputs: StageInputs) -> str:
        """The key under which completions of this engine are cached."""
        if name not in self.study_models:
            return engine_cache_key(self.configs[name])
        model = self.study_models[name]
        stages = as_input_stages(model, f"{ENGINE_PREFIX}{name}")
        # A model that was retrained on regenerated labels has the same fingerprint but gives other completions.
        regenerated = [inputs[input_name].record.get("regenerated_at") for input_name in stages]
        return " ".join(
            [
                *(stage.fingerprint for stage in stages.values()),
                *as_external_hashes(model).values(),
                *(time for time in regenerated if time),
            ]
        )

    def _find_owner(self, name: str) -> str:
        return next(other for other, config in self.configs.items() if config == self.configs[name])

    def _start(self, name: str, inputs: StageInputs, runtime: Runtime) -> Engine:
        if name not in self.study_models:
            return self.configs[name].start(runtime)
        loaded = resolve_model(self.study_models[name], inputs, f"{ENGINE_PREFIX}{name}").load(
            runtime.notify, runtime.device, merge=True
        )
        return TransformersEngine(loaded, runtime.token_budget)


def engine_cache_key(config: EngineConfig) -> str:
    """The cache key of an engine that the study did not train: its kind, settings and content hash."""
    settings = identity_settings(config) if isinstance(config, Settings) else {}
    return canonical_json({"engine": settings, "content_hash": config.content_hash()})
