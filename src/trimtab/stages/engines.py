"""The engines that a component asks: known by what their answers depend on, opened once, their answers kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.components import Component, Settings
from trimtab.engines.transformers import TransformersEngine
from trimtab.errors import StudyError
from trimtab.protocols import Asks, Engine, Runtime, Startable
from trimtab.stages.asked import FOLDER, Asked
from trimtab.stages.models import ModelSource, identities, load, needs
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.store import Draft, canonical


def engines_of(component: Component) -> dict[str, Startable]:
    """The engines that a component asks, by the names that it gives them. Raises `StudyError` where one is none."""
    found: dict[str, Startable] = {}
    for name, engine in (component.asks() if isinstance(component, Asks) else {}).items():
        if not isinstance(engine, Startable):
            raise StudyError(f"{name}: {type(engine).__name__} is not an engine (it needs `start` and `identity`)")
        found[name] = engine
    return found


def answers_of(draft: Draft) -> Path:
    """The folder of the run's answers."""
    return draft.folder.parent.parent / FOLDER


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Engines by the names that a component gives them. `ours` are the study's own models among them."""

    settings: Mapping[str, Startable] = field(default_factory=dict)
    ours: Mapping[str, ModelSource] = field(default_factory=dict)

    def needs(self) -> dict[str, Stage]:
        """The stages that trained them."""
        return {
            need: stage for name, model in self.ours.items() for need, stage in needs(model, f"engine.{name}").items()
        }

    def identities(self) -> dict[str, str]:
        """What stands for those that the study did not train."""
        outside = {
            f"engine.{name}": engine.identity() for name, engine in self.settings.items() if name not in self.ours
        }
        published = {
            place: known
            for name, model in self.ours.items()
            for place, known in identities(model, f"engine.{name}").items()
        }
        return {**outside, **published}

    def opened(self, draft: Draft, inputs: Inputs, runtime: Runtime) -> dict[str, Engine]:
        """Every engine, open; what it is asked is kept in the run's folder of answers."""
        kept = answers_of(draft)
        return {
            name: Asked(engine=engine, identity=self.known(name, inputs), folder=kept)
            for name, engine in self._started(inputs, runtime).items()
        }

    def known(self, name: str, inputs: Inputs) -> str:
        """What the answers of the engine of this name are kept under."""
        if name not in self.ours:
            return known_as(self.settings[name])
        model = self.ours[name]
        trained = [each.recipe.fingerprint for each in needs(model).values()]
        # one that was trained anew, from labels that came out otherwise, gives answers of its own
        again = [inputs[need].record.get("again") for need in needs(model, f"engine.{name}")]
        return " ".join(trained + list(identities(model).values()) + [each for each in again if each])

    def _started(self, inputs: Inputs, runtime: Runtime) -> dict[str, Engine]:
        """Each engine once, also where two names stand for the same one."""
        started: list[tuple[Startable, Engine]] = []
        found: dict[str, Engine] = {}
        for name, settings in self.settings.items():
            same = next((engine for other, engine in started if other == settings), None)
            if same is None:
                same = self._start(name, inputs, runtime)
                started.append((settings, same))
            found[name] = same
        return found

    def _start(self, name: str, inputs: Inputs, runtime: Runtime) -> Engine:
        if name not in self.ours:
            return self.settings[name].start(runtime)
        loaded = load(self.ours[name], inputs, runtime, f"engine.{name}", merge=True)
        return TransformersEngine(loaded, runtime.token_budget)


def known_as(engine: Startable) -> str:
    """What the answers of an engine that the study did not train are kept under: kind, settings, and what stands behind."""
    settings = told(engine) if isinstance(engine, Settings) else {}
    return canonical({"engine": settings, "of": engine.identity()})
