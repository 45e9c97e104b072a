"""The engines that a component asks: known by what their answers depend on, opened once, their answers kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.core.component import Settings
from trimtab.core.interfaces import Engine, EngineConfig
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.pipeline.completion_cache import COMPLETIONS_DIR, CachedEngine
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, load_model_source
from trimtab.storage.artifacts import Draft, canonical_json


def completions_dir(draft: Draft) -> Path:
    """The folder of the run's answers."""
    return draft.folder.parent.parent / COMPLETIONS_DIR


@dataclass(frozen=True, kw_only=True)
class EngineResources:
    """Engines by the names that a component gives them. `ours` are the study's own models among them."""

    configs: Mapping[str, EngineConfig] = field(default_factory=dict)
    study_models: Mapping[str, ModelSource] = field(default_factory=dict)

    def input_stages(self) -> dict[str, Stage]:
        """The stages that trained them."""
        return {
            need: stage
            for name, model in self.study_models.items()
            for need, stage in as_input_stages(model, f"engine.{name}").items()
        }

    def external_hashes(self) -> dict[str, str]:
        """What stands for those that the study did not train."""
        outside = {
            f"engine.{name}": engine.content_hash()
            for name, engine in self.configs.items()
            if name not in self.study_models
        }
        published = {
            place: known
            for name, model in self.study_models.items()
            for place, known in as_external_hashes(model, f"engine.{name}").items()
        }
        return {**outside, **published}

    def open_engines(self, draft: Draft, inputs: StageInputs, runtime: Runtime) -> dict[str, Engine]:
        """Every engine, open; what it is asked is kept in the run's folder of answers."""
        kept = completions_dir(draft)
        return {
            name: CachedEngine(engine=engine, cache_key=self.cache_key(name, inputs), folder=kept)
            for name, engine in self._start_all(inputs, runtime).items()
        }

    def cache_key(self, name: str, inputs: StageInputs) -> str:
        """What the answers of the engine of this name are kept under."""
        if name not in self.study_models:
            return engine_cache_key(self.configs[name])
        model = self.study_models[name]
        trained = [each.recipe.fingerprint for each in as_input_stages(model).values()]
        # one that was trained anew, from labels that came out otherwise, gives answers of its own
        again = [inputs[need].record.get("regenerated_at") for need in as_input_stages(model, f"engine.{name}")]
        return " ".join(trained + list(as_external_hashes(model).values()) + [each for each in again if each])

    def _start_all(self, inputs: StageInputs, runtime: Runtime) -> dict[str, Engine]:
        """Each engine once, also where two names stand for the same one."""
        started: list[tuple[EngineConfig, Engine]] = []
        found: dict[str, Engine] = {}
        for name, settings in self.configs.items():
            same = next((engine for other, engine in started if other == settings), None)
            if same is None:
                same = self._start(name, inputs, runtime)
                started.append((settings, same))
            found[name] = same
        return found

    def _start(self, name: str, inputs: StageInputs, runtime: Runtime) -> Engine:
        if name not in self.study_models:
            return self.configs[name].start(runtime)
        loaded = load_model_source(self.study_models[name], inputs, runtime, f"engine.{name}", merge=True)
        return TransformersEngine(loaded, runtime.token_budget)


def engine_cache_key(engine: EngineConfig) -> str:
    """What the answers of an engine that the study did not train are kept under: kind, settings, and what stands behind."""
    settings = identity_settings(engine) if isinstance(engine, Settings) else {}
    return canonical_json({"engine": settings, "content_hash": engine.content_hash()})
