"""Finds the engines that a component uses."""

from __future__ import annotations

from trimtab.core.component import Component
from trimtab.core.interfaces import EngineConfig, UsesEngines
from trimtab.errors import StudyError


def list_engine_configs(component: Component) -> dict[str, EngineConfig]:
    """The engine settings of a component, by the component's names for them. Raises `StudyError` if one is not an engine."""
    configs: dict[str, EngineConfig] = {}
    for name, engine in (component.engines() if isinstance(component, UsesEngines) else {}).items():
        if not isinstance(engine, EngineConfig):
            raise StudyError(f"{name}: {type(engine).__name__} is not an engine (it needs `start` and `content_hash`)")
        configs[name] = engine
    return configs
