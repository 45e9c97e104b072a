"""Models by the names by which commands know them: those that a finished run lends, a stage's folder, and published ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import StudyError
from trimtab.lm.weights import Model
from trimtab.prompts.preference import PLAIN
from trimtab.protocols import Engine, Exam, Runtime, Startable
from trimtab.run import read_index
from trimtab.stages.engines import known_as
from trimtab.stages.stage import model_identity
from trimtab.store import open_artifact
from trimtab.study import Study

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded
    from trimtab.lm.unopened import Unopened

# A model by its name, or the folder of a stage that trained one.
Found = Model | Path

CARD = "model.json"
NAMES = "@weak, @weak.sft, @weak.base, @weak.preference, @student, @student.sft, @ARM.preference"


@dataclass(frozen=True, slots=True)
class Lender:
    """The run whose models are named with an @, or None; `exam` is the question that one which learned to answer must know."""

    run_dir: Path | None
    exam: Exam = PLAIN

    def found(self, name: str) -> Found:
        """The model of this name. Raises `StudyError` where the run has none, `ModelError` where no name is like it."""
        if name.startswith("@"):
            if self.run_dir is None:
                raise StudyError(
                    f"{name} is a model of a study: name the folder of its run with --run DIR, or name another model"
                )
            return self._of_run(name, self.run_dir)
        path = Path(name).expanduser()
        if (path / CARD).is_file():
            return path
        model = Model(base=name)
        model_identity(model)  # a name that can never be found is refused before the pairs are read
        return model

    def start(self, engine: Startable, runtime: Runtime) -> Engine:
        """An open engine, also of a model that the run lends or of a stage's folder."""
        model = self._trained(engine)
        if model is None:
            return engine.start(runtime)
        return TransformersEngine(opened(model, runtime), runtime.token_budget)

    def identity(self, engine: Startable) -> str:
        model = self._trained(engine)
        return engine.identity() if model is None else identity(model)

    def kept_as(self, engine: Startable) -> str:
        """What its answers are kept under: settings that change them are part of that, and whether it was trained anew."""
        model = self._trained(engine)
        if model is None:
            return known_as(engine)
        again = open_artifact(model).record.get("again") if isinstance(model, Path) else None
        return " ".join(each for each in (identity(model), again) if each)

    def _trained(self, engine: Startable) -> Found | None:
        """What the engine names, where it is no published model."""
        if not isinstance(engine, Transformers):
            return None
        ours = engine.model.startswith("@") or (Path(engine.model).expanduser() / CARD).is_file()
        return self.found(engine.model) if ours else None

    def _of_run(self, name: str, run_dir: Path) -> Found:
        index = read_index(run_dir)
        if name in ("@weak.base", "@student"):
            models = Study.load(run_dir / "study.yaml").models
            return models.weak if name == "@weak.base" else models.student
        if name in ("@weak", "@weak.sft"):
            trained = self._stage(run_dir, _trainings(index, "weak_model"), name)
            return trained if name == "@weak" else _base(trained)
        if name == "@student.sft":
            return self._stage(run_dir, _named(index, "sft.student"), name)
        arm, _, what = name.removeprefix("@").rpartition(".")
        if not arm or what != "preference":
            raise StudyError(f"there is no model {name!r} in a run (there are: {NAMES})")
        whose = "weak-model" if arm == "weak" else arm
        asked = f"preference.{whose}-{self.exam.name}" if self.exam.name else f"preference.{whose}"
        # runs of older versions tell no names but those of the folders
        named = index.get("choosers", {}).get(asked) or _named(index, asked)
        alike = [each for each in named if self._knows(run_dir / "stages" / each)]
        return self._stage(run_dir, alike, name)

    def _knows(self, folder: Path) -> bool:
        """Whether what was trained in this folder knows the question."""
        exam = open_artifact(folder).record["settings"].get("exam", {}) if folder.is_dir() else None
        return bool(exam == dict(self.exam.settings))

    def _stage(self, run_dir: Path, names: Iterable[str], asked: str) -> Path:
        found = next(iter(names), None)
        if found is None:
            question = f" for the question of {self.exam.name}" if self.exam.name and "preference" in asked else ""
            raise StudyError(f"{run_dir} trained no {asked}{question}; a study trains it where one of its arms asks it")
        return open_artifact(run_dir / "stages" / found).folder


def _trainings(index: Mapping[str, Any], row: str) -> list[str]:
    return [each["training"] for each in index["arms"] if each["name"] == row and each["training"]]


def _named(index: Mapping[str, Any], stage: str) -> list[str]:
    return [folder for folder in index["stages"] if folder.rpartition("-")[0] == stage]


def _base(folder: Path) -> Found:
    """What the model in this folder was trained from."""
    base: Mapping[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))["base"]
    if "folder" in base:
        return folder.parent / str(base["folder"])
    model: Model = Model.model_validate(base["model"])
    return model


def opened(model: Found, runtime: Runtime) -> Loaded:
    from trimtab.lm.models import open_base, open_trained  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return open_trained(model, runtime.notify, runtime.device, merge=True)
    return open_base(model, runtime.notify, runtime.device)


def unopened(model: Found, runtime: Runtime) -> Unopened:
    """The model, whose weights are loaded when they are needed."""
    from trimtab.lm.unopened import unopened_base, unopened_trained  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return unopened_trained(model, runtime.notify, runtime.device)
    return unopened_base(model, runtime.notify, runtime.device)


def identity(model: Found) -> str:
    """What stands for the model: the fingerprint of the stage that trained it, or its weights' hash."""
    return str(open_artifact(model).record["fingerprint"]) if isinstance(model, Path) else model_identity(model)
