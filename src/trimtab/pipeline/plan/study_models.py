"""Names of a study's own models, such as `@weak` and `@ARM.preference_model`, among the engines of a component."""

from __future__ import annotations

from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.engines.transformers import Transformers

ARM_PREFERENCE_MODEL = "@ARM.preference_model"


def list_study_models(component: Component) -> dict[str, str]:
    """The names of the study's own models among the component's engines, by engine name."""
    return {
        name: engine.model
        for name, engine in list_engine_configs(component).items()
        if isinstance(engine, Transformers) and engine.model.startswith("@")
    }


def find_preference_model(model: str) -> str | None:
    """The arm or the weak model that `@NAME.preference_model` names; None for all other names."""
    name, dot, trained = model.removeprefix("@").rpartition(".")
    return name if dot and trained == "preference_model" else None
