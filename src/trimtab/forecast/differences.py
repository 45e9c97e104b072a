"""Why a stage cannot use what an earlier run left: what is not as it was then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.stages.stage import Stage
from trimtab.store import canonical

DEFAULT = "default"
WEIGHTS = "weights"
LONGEST_VALUE = 40


def difference(stage: Stage, before: Mapping[str, Any]) -> str:
    """What of a stage's recipe differs from an earlier record of the same name, such as `recipe.beta: 0.1 -> 0.05`."""
    return "; ".join(
        [*_version(stage, before), *_settings(stage.settings, before["settings"]), *_inputs(stage, before)]
    )


def _version(stage: Stage, before: Mapping[str, Any]) -> Iterator[str]:
    if stage.version != before["version"]:
        yield f"version: {before['version']} -> {stage.version}"


def _settings(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    new, old = dict(_flat(now)), dict(_flat(then))
    for key in sorted(new.keys() | old.keys()):
        if new.get(key) != old.get(key):
            yield f"{key}: {_said(old, key)} -> {_said(new, key)}"


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _said(settings: Mapping[str, Any], key: str) -> str:
    """A setting's value, cut where it is long; one that is absent has its default."""
    if key not in settings:
        return DEFAULT
    value = settings[key]
    text = value if isinstance(value, str) and value else canonical(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _inputs(stage: Stage, before: Mapping[str, Any]) -> Iterator[str]:
    then: Mapping[str, str] = before["inputs"]
    for name, value in stage.identities.items():
        if then.get(name) != value:
            yield from _outside(name, then.get(name, ""), value, stage)
    changed = {name: need.name for name, need in stage.needs.items() if then.get(name) != need.recipe.fingerprint}
    if len(changed) == 1:
        yield from (f"input {name} changed ({need})" for name, need in changed.items())
    elif changed:
        yield f"inputs changed: {', '.join(dict.fromkeys(changed.values()))}"
    gone = [name for name in then if name not in stage.recipe.inputs]
    if gone:
        yield f"no longer reads {', '.join(gone)}"


def _outside(name: str, then: str, now: str, stage: Stage) -> Iterator[str]:
    """What changed of something that lies outside the study: data, a scorer, or a model."""
    kind, _, which = name.partition(".")
    if kind == "source":
        yield "data changed" if which in ("", "all") else f"{which} data changed"
    elif kind == "scorer":
        yield "scorer changed"
    else:
        part = _part_of_model(then, now)
        told_already = "model" in stage.settings and part != WEIGHTS
        if not told_already:
            yield f"{which + ' ' if kind == 'tokens' else ''}model {part} changed"


def _part_of_model(then: str, now: str) -> str:
    """Which part of a model's identity differs: its weights, or a setting that changes how they are loaded."""
    old_weights, *old = then.split(";")
    new_weights, *new = now.split(";")
    if old_weights != new_weights:
        return WEIGHTS
    return " and ".join(sorted({part.partition("=")[0] for part in set(old) ^ set(new)}))
