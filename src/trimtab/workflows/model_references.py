"""Resolve the model names that commands accept: models of a finished run, folders of trained models, published models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trimtab.config.study import MAIN_WEAK_MODEL
from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.interfaces import Engine, EngineConfig, HasPreflight
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import StudyError
from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.model_card import is_trained_model
from trimtab.models.references import ModelRef
from trimtab.pipeline.engine_resources import engine_cache_key
from trimtab.pipeline.plan.weak_models import build_stage_name, list_weak_models
from trimtab.pipeline.run_index import RunIndex, load_run_index
from trimtab.pipeline.stored_study import load_stored_study
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK
from trimtab.storage.artifacts import open_artifact

TRUST_VARIABLE = "TRIMTAB_TRUST_REMOTE_CODE"
RUN_MODEL_NAMES = "@weak, @weak.sft, @weak.base, @weak.preference_model, @student, @student.sft, @ARM.preference_model"


@dataclass(frozen=True, slots=True)
class ModelResolver:
    """Resolves model names. `run_dir` is the finished run that names with an @ refer to, or None.

    `training_task` is the task that a preference model of the run must have been trained on.
    """

    run_dir: Path | None
    training_task: TrainingTask = DEFAULT_TRAINING_TASK

    def resolve(self, name: str) -> ModelRef:
        """The model with this name.

        Raises `StudyError` if the run has no such model or one whose code the user has not allowed, and `ModelError` if no
        source can provide the name.
        """
        if name.startswith("@"):
            if self.run_dir is None:
                raise StudyError(
                    f"{name} is a model of a run: give the folder of the run with --models-from DIR, or use another model"
                )
            return require_trusted_code(self._resolve_run_model(name, self.run_dir), str(self.run_dir))
        path = Path(name).expanduser()
        if is_trained_model(path):
            return require_trusted_code(ModelRef(path), str(path))
        model = ModelRef(Model.model_validate(name))
        _ = model.content_hash  # raises for an unknown name before the pairs are read
        return model

    def preflight_engine(self, engine: EngineConfig, runtime: Runtime) -> None:
        """Downloads the engine's model if necessary. Loads no weights.

        Raises `StudyError`, `ModelError` or `EngineError` if the engine or its model cannot be used.
        """
        if isinstance(engine, HasPreflight):
            engine.preflight(runtime)
        elif isinstance(engine, Transformers) and self._resolve_trained(engine) is None:
            model = Model.model_validate(engine.model)
            if compute_model_hash(model) is None:
                resolve_weights(model, runtime.notify)

    def start_engine(self, engine: EngineConfig, runtime: Runtime) -> Engine:
        """Start an engine, which may use a model of the run or a trained model's folder."""
        model = self._resolve_trained(engine)
        if model is None:
            return engine.start(runtime)
        loaded = model.load(runtime.notify, runtime.device, merge=True)
        return TransformersEngine(loaded, runtime.token_budget)

    def hash_engine(self, engine: EngineConfig) -> str:
        """The content hash of an engine and its model."""
        model = self._resolve_trained(engine)
        return engine.content_hash() if model is None else model.content_hash

    def cache_key(self, engine: EngineConfig) -> str:
        """The key of the engine's cached completions.

        It covers the settings that affect them, and the time at which a trained model was regenerated.
        """
        model = self._resolve_trained(engine)
        if model is None:
            return engine_cache_key(engine)
        regenerated_at = None
        if isinstance(model.source, Path):
            regenerated_at = open_artifact(model.source).record.get("regenerated_at")
        return " ".join(part for part in (model.content_hash, regenerated_at) if part)

    def _resolve_trained(self, engine: EngineConfig) -> ModelRef | None:
        """The engine's model if it is a model of the run or a trained model's folder."""
        if not isinstance(engine, Transformers):
            return None
        is_trained = engine.model.startswith("@") or is_trained_model(Path(engine.model).expanduser())
        return self.resolve(engine.model) if is_trained else None

    def _resolve_run_model(self, name: str, run_dir: Path) -> ModelRef:
        index = load_run_index(run_dir)
        if name == "@student.sft":
            return self._find_trained(run_dir, index.stages_named("sft.student"), name)
        study = load_stored_study(run_dir, index.study_sha256)
        if name == "@student":
            return ModelRef(study.models.student)
        weak_models = dict(list_weak_models(study))
        base, _, part = name.removeprefix("@").partition(".")
        if base in weak_models and part == "base":
            return ModelRef(weak_models[base])
        stage = build_stage_name(base) if base in weak_models else base
        if base in weak_models and part in ("", "sft"):
            weak = self._find_trained(run_dir, _weak_model_folders(index, base), name)
            return weak if not part else weak.parent or weak
        if part != "preference_model":
            raise StudyError(f"no model {name!r} in a run (available: {RUN_MODEL_NAMES})")
        stage = f"preference-model.{stage}"
        if self.training_task.name:
            stage = f"{stage}-{self.training_task.name}"
        folders = index.preference_models.get(stage, ())
        matching = [folder for folder in folders if self._matches_task(run_dir / "stages" / folder)]
        return self._find_trained(run_dir, matching, name)

    def _matches_task(self, folder: Path) -> bool:
        """Whether the preference model in this folder was trained on the training task."""
        if not folder.is_dir():
            return False
        trained_on = open_artifact(folder).record["settings"].get("training_task", {})
        return bool(trained_on == dict(self.training_task.settings))

    def _find_trained(self, run_dir: Path, folders: Iterable[str], name: str) -> ModelRef:
        folder = next(iter(folders), None)
        if folder is None:
            is_for_task = self.training_task.name and name.endswith(".preference_model")
            task = f" for the annotator {self.training_task.name}" if is_for_task else ""
            raise StudyError(f"{run_dir} has no {name}{task}; a study trains it if one of its arms uses it")
        return ModelRef(open_artifact(run_dir / "stages" / folder).folder)


def require_trusted_code(model: ModelRef, place: str) -> ModelRef:
    """Raises `StudyError` if a model of a run executes Python code of its own, unless the environment allows it.

    A run can come from somebody else. The `trust_remote_code` of its study, and of its trained models, is not the user's.
    """
    settings = model.root_settings
    if settings.trust_remote_code and os.environ.get(TRUST_VARIABLE) != "1":
        raise StudyError(
            f"{place}: the model {settings.base!r} executes Python code from its own files (trust_remote_code: true); if you "
            f"trust it, set {TRUST_VARIABLE}=1"
        )
    return model


def _weak_model_folders(index: RunIndex, weak_model: str) -> list[str]:
    """The folders of a weak model after DPO. The main one is a row of the results."""
    if weak_model != MAIN_WEAK_MODEL:
        return index.stages_named(f"dpo.{build_stage_name(weak_model)}")
    row = index.find_row("weak_model")
    return [row.training] if row is not None and row.training else []
