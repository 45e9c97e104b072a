"""Why a stage cannot use what an earlier run left: what is not as it was then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import canonical_json

DEFAULT = "default"
WEIGHTS = "weights"
MAX_VALUE_CHARACTERS = 40


def explain_cache_miss(stage: Stage, before: Mapping[str, Any]) -> str:
    """What of a stage's recipe differs from an earlier record of the same name, such as `recipe.beta: 0.1 -> 0.05`."""
    return "; ".join(
        [
            *_version_change(stage, before),
            *_setting_changes(stage.settings, before["settings"]),
            *_input_changes(stage, before),
        ]
    )


def _version_change(stage: Stage, before: Mapping[str, Any]) -> Iterator[str]:
    if stage.version != before["version"]:
        yield f"version: {before['version']} -> {stage.version}"


def _setting_changes(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    new, old = dict(_flatten(now)), dict(_flatten(then))
    for key in sorted(new.keys() | old.keys()):
        if new.get(key) != old.get(key):
            yield f"{key}: {_format_value(old, key)} -> {_format_value(new, key)}"


def _flatten(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _format_value(settings: Mapping[str, Any], key: str) -> str:
    """A setting's value, cut where it is long; one that is absent has its default."""
    if key not in settings:
        return DEFAULT
    value = settings[key]
    text = value if isinstance(value, str) and value else canonical_json(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"


def _input_changes(stage: Stage, before: Mapping[str, Any]) -> Iterator[str]:
    then: Mapping[str, str] = before["inputs"]
    for name, value in stage.external_hashes.items():
        if then.get(name) != value:
            yield from _external_change(name, then.get(name, ""), value, stage)
    changed = {
        name: need.name for name, need in stage.input_stages.items() if then.get(name) != need.recipe.fingerprint
    }
    if len(changed) == 1:
        yield from (f"input {name} changed ({need})" for name, need in changed.items())
    elif changed:
        yield f"inputs changed: {', '.join(dict.fromkeys(changed.values()))}"
    gone = [name for name in then if name not in stage.recipe.inputs]
    if gone:
        yield f"no longer reads {', '.join(gone)}"


def _external_change(name: str, then: str, now: str, stage: Stage) -> Iterator[str]:
    """What changed of something that lies outside the study: data, a scorer, or a model."""
    kind, _, which = name.partition(".")
    if kind == "source":
        yield "data changed" if which in ("", "all") else f"{which} data changed"
    elif kind == "scorer":
        yield "scorer changed"
    else:
        part = _changed_model_part(then, now)
        told_already = "model" in stage.settings and part != WEIGHTS
        if not told_already:
            yield f"{which + ' ' if kind == 'tokens' else ''}model {part} changed"


def _changed_model_part(then: str, now: str) -> str:
    """Which part of a model's identity differs: its weights, or a setting that changes how they are loaded."""
    old_weights, *old = then.split(";")
    new_weights, *new = now.split(";")
    if old_weights != new_weights:
        return WEIGHTS
    return " and ".join(sorted({part.partition("=")[0] for part in set(old) ^ set(new)}))
