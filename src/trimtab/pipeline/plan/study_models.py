"""Names of a study's own models, such as `@weak` and `@ARM.preference_model`, among the engines of a component."""

from __future__ import annotations

from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.engines.transformers import Transformers

WEAK_PREFERENCE_MODEL = "@weak.preference_model"
ARM_PREFERENCE_MODEL = "@ARM.preference_model"


def list_study_models(component: Component) -> dict[str, str]:
    """The names of the study's own models among the component's engines, by engine name."""
    return {
        name: engine.model
        for name, engine in list_engine_configs(component).items()
        if isinstance(engine, Transformers) and engine.model.startswith("@")
    }


def find_label_arm(model: str) -> str | None:
    """The arm whose labels the model `@ARM.preference_model` is trained on; None for all other names."""
    arm, dot, trained = model.removeprefix("@").rpartition(".")
    is_arm_model = dot and trained == "preference_model" and model != WEAK_PREFERENCE_MODEL
    return arm if is_arm_model else None
