"""Reads what a component requires: its requirements, its engines and its training task."""

from __future__ import annotations

from trimtab.core.annotator_inputs import Requirements, TrainingTask
from trimtab.core.component import Component
from trimtab.core.interfaces import EngineConfig, HasRequirements
from trimtab.errors import StudyError


def get_requirements(component: Component) -> Requirements:
    """What a component requires; nothing if it declares no requirements."""
    return component.requirements() if isinstance(component, HasRequirements) else Requirements()


def list_engine_configs(component: Component) -> dict[str, EngineConfig]:
    """The engine settings of a component, by the component's names for them. Raises `StudyError` if one is not an engine."""
    configs: dict[str, EngineConfig] = {}
    for name, engine in get_requirements(component).engines.items():
        if not isinstance(engine, EngineConfig):
            raise StudyError(f"{name}: {type(engine).__name__} is not an engine (it needs `start` and `content_hash`)")
        configs[name] = engine
    return configs


def get_training_task(component: Component, default: TrainingTask) -> TrainingTask:
    """The task that preference models among the component's engines are trained on."""
    build_task = get_requirements(component).build_training_task
    return default if build_task is None else build_task()
