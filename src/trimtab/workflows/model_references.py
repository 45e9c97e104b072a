"""Models by the names by which commands know them: those that a finished run lends, a stage's folder, and published ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.interfaces import Engine, EngineConfig
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.pipeline.engine_resources import engine_cache_key
from trimtab.pipeline.run_index import RunIndex, load_run_index
from trimtab.pipeline.stage import model_content_hash
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK
from trimtab.storage.artifacts import open_artifact

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.lazy_model import LazyModel

# A model by its name, or the folder of a stage that trained one.
ModelRef = Model | Path

MODEL_FILE = "model.json"
RUN_MODEL_NAMES = "@weak, @weak.sft, @weak.base, @weak.preference, @student, @student.sft, @ARM.preference"


@dataclass(frozen=True, slots=True)
class ModelResolver:
    """The run whose models are named with an @, or None; `exam` is the question that one which learned to answer must know."""

    run_dir: Path | None
    training_task: TrainingTask = DEFAULT_TRAINING_TASK

    def resolve(self, name: str) -> ModelRef:
        """The model of this name. Raises `StudyError` where the run has none, `ModelError` where no name is like it."""
        if name.startswith("@"):
            if self.run_dir is None:
                raise StudyError(
                    f"{name} is a model of a study: name the folder of its run with --run DIR, or name another model"
                )
            return self._resolve_run_model(name, self.run_dir)
        path = Path(name).expanduser()
        if (path / MODEL_FILE).is_file():
            return path
        model = Model(base=name)
        model_content_hash(model)  # a name that can never be found is refused before the pairs are read
        return model

    def start_engine(self, engine: EngineConfig, runtime: Runtime) -> Engine:
        """An open engine, also of a model that the run lends or of a stage's folder."""
        model = self._resolve_trained(engine)
        if model is None:
            return engine.start(runtime)
        return TransformersEngine(load_model_ref(model, runtime), runtime.token_budget)

    def hash_engine(self, engine: EngineConfig) -> str:
        model = self._resolve_trained(engine)
        return engine.content_hash() if model is None else hash_model_ref(model)

    def cache_key(self, engine: EngineConfig) -> str:
        """What its answers are kept under: settings that change them are part of that, and whether it was trained anew."""
        model = self._resolve_trained(engine)
        if model is None:
            return engine_cache_key(engine)
        again = open_artifact(model).record.get("regenerated_at") if isinstance(model, Path) else None
        return " ".join(each for each in (hash_model_ref(model), again) if each)

    def _resolve_trained(self, engine: EngineConfig) -> ModelRef | None:
        """What the engine names, where it is no published model."""
        if not isinstance(engine, Transformers):
            return None
        ours = engine.model.startswith("@") or (Path(engine.model).expanduser() / MODEL_FILE).is_file()
        return self.resolve(engine.model) if ours else None

    def _resolve_run_model(self, name: str, run_dir: Path) -> ModelRef:
        index = load_run_index(run_dir)
        if name in ("@weak.base", "@student"):
            models = Study.load(run_dir / "study.yaml").models
            return models.weak if name == "@weak.base" else models.student
        if name in ("@weak", "@weak.sft"):
            trained = self._find_trained_folder(run_dir, _training_folders(index, "weak_model"), name)
            return trained if name == "@weak" else _read_base_model(trained)
        if name == "@student.sft":
            return self._find_trained_folder(run_dir, index.stages_named("sft.student"), name)
        arm, _, what = name.removeprefix("@").rpartition(".")
        if not arm or what != "preference_model":
            raise StudyError(f"there is no model {name!r} in a run (there are: {RUN_MODEL_NAMES})")
        whose = "weak-model" if arm == "weak" else arm
        asked = f"preference-model.{whose}-{self.training_task.name}" if self.training_task.name else f"preference-model.{whose}"
        named = index.preference_models.get(asked, ())
        alike = [each for each in named if self._matches_task(run_dir / "stages" / each)]
        return self._find_trained_folder(run_dir, alike, name)

    def _matches_task(self, folder: Path) -> bool:
        """Whether what was trained in this folder knows the question."""
        exam = open_artifact(folder).record["settings"].get("training_task", {}) if folder.is_dir() else None
        return bool(exam == dict(self.training_task.settings))

    def _find_trained_folder(self, run_dir: Path, names: Iterable[str], asked: str) -> Path:
        found = next(iter(names), None)
        if found is None:
            question = (
                f" for the question of {self.training_task.name}"
                if self.training_task.name and "preference" in asked
                else ""
            )
            raise StudyError(f"{run_dir} trained no {asked}{question}; a study trains it where one of its arms asks it")
        return open_artifact(run_dir / "stages" / found).folder


def _training_folders(index: RunIndex, name: str) -> list[str]:
    row = index.find_row(name)
    return [row.training] if row is not None and row.training else []


def _read_base_model(folder: Path) -> ModelRef:
    """What the model in this folder was trained from."""
    base: Mapping[str, Any] = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))["base"]
    if "folder" in base:
        return folder.parent / str(base["folder"])
    model: Model = Model.model_validate(base["model"])
    return model


def load_model_ref(model: ModelRef, runtime: Runtime) -> LoadedModel:
    from trimtab.models.checkpoint import load_base_model, load_trained_model  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return load_trained_model(model, runtime.notify, runtime.device, merge=True)
    return load_base_model(model, runtime.notify, runtime.device)


def load_lazy_model_ref(model: ModelRef, runtime: Runtime) -> LazyModel:
    """The model, whose weights are loaded when they are needed."""
    from trimtab.models.lazy_model import build_lazy_base_model, build_lazy_trained_model  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return build_lazy_trained_model(model, runtime.notify, runtime.device)
    return build_lazy_base_model(model, runtime.notify, runtime.device)


def hash_model_ref(model: ModelRef) -> str:
    """What stands for the model: the fingerprint of the stage that trained it, or its weights' hash."""
    return str(open_artifact(model).record["fingerprint"]) if isinstance(model, Path) else model_content_hash(model)
