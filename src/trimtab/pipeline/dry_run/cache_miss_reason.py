"""Explains why a stage cannot reuse the artifact of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.pipeline.stage import Stage
from trimtab.storage.recipe import canonical_json

DEFAULT = "default"
WEIGHTS = "weights"
MAX_VALUE_CHARACTERS = 40


def explain_cache_miss(stage: Stage, record: Mapping[str, Any]) -> str:
    """How a stage's recipe differs from an earlier record of the same name, such as `recipe.beta: 0.1 -> 0.05`."""
    changes = [
        *_version_change(stage, record),
        *_setting_changes(stage.settings, record["settings"]),
        *_input_changes(stage, record),
    ]
    return "; ".join(changes)


def _version_change(stage: Stage, record: Mapping[str, Any]) -> Iterator[str]:
    if stage.version != record["version"]:
        yield f"version: {record['version']} -> {stage.version}"


def _setting_changes(new_settings: Mapping[str, Any], old_settings: Mapping[str, Any]) -> Iterator[str]:
    new, old = dict(_flatten(new_settings)), dict(_flatten(old_settings))
    for key in sorted(new.keys() | old.keys()):
        if new.get(key) != old.get(key):
            yield f"{key}: {_format_value(old, key)} -> {_format_value(new, key)}"


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _format_value(settings: Mapping[str, Any], key: str) -> str:
    """A setting's value, truncated if it is long. An absent setting has its default."""
    if key not in settings:
        return DEFAULT
    value = settings[key]
    text = value if isinstance(value, str) and value else canonical_json(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"


def _input_changes(stage: Stage, record: Mapping[str, Any]) -> Iterator[str]:
    old: Mapping[str, str] = record["inputs"]
    for name, value in stage.external_hashes.items():
        if old.get(name) != value:
            yield from _external_change(name, old.get(name, ""), value, stage)
    changed = {name: source.name for name, source in stage.input_stages.items() if old.get(name) != source.fingerprint}
    if len(changed) == 1:
        yield from (f"input {name} changed ({source})" for name, source in changed.items())
    elif changed:
        yield f"inputs changed: {', '.join(dict.fromkeys(changed.values()))}"
    removed = [name for name in old if name not in stage.recipe.inputs]
    if removed:
        yield f"no longer reads {', '.join(removed)}"


def _external_change(name: str, old: str, new: str, stage: Stage) -> Iterator[str]:
    """Describes what changed in an input from outside the study: data, a scorer, or a model."""
    kind, _, which = name.partition(".")
    if kind == "source":
        yield "data changed" if which in ("", "all") else f"{which} data changed"
    elif kind == "scorer":
        yield "scorer changed"
    else:
        part = _changed_model_part(old, new)
        already_reported = "model" in stage.settings and part != WEIGHTS
        if not already_reported:
            yield f"{which + ' ' if kind == 'tokens' else ''}model {part} changed"


def _changed_model_part(old: str, new: str) -> str:
    """Which part of a model's identity differs: its weights, or a setting that changes how they are loaded."""
    old_weights, *old_settings = old.split(";")
    new_weights, *new_settings = new.split(";")
    if old_weights != new_weights:
        return WEIGHTS
    return " and ".join(sorted({setting.partition("=")[0] for setting in set(old_settings) ^ set(new_settings)}))
