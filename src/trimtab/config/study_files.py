"""Reads study files: the files that they extend, their variants and their variables.

A *layer* is the mapping in one file, or one variant. Later layers override earlier ones, key by key. A study file is:

- `extends`: one path or a list, relative to the file. These files are the layers below it.
- `variants`: layers by name. Each makes one study out of the rest of the file.
- `variables`: values by name, which replace `${name}` in the texts of all settings.
- all other keys: settings of the study. `data`, like `variants`, replaces that of lower layers completely.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.core.component import apply_override
from trimtab.core.validation_errors import format_input
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError

EXTENDS, VARIANTS, VARIABLES = "extends", "variants", "variables"
# Settings that name what the other settings of their mapping belong to: a component, or a model.
_IDENTITY_KEYS = ("kind", "base")
# `data` is one source or several, so two layers of it rarely fit together.
_REPLACED = ("data",)
VARIANT_NAME = r"[a-z0-9][a-z0-9-]*"
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_ERROR_PATH = re.compile(r"([\w.@-]+): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDocument:
    """The merged settings of one study, and the layers they come from, lowest first: the place and the mapping.

    The place of `key.sub=value` overrides is empty, or the name of the variant.
    """

    settings: Mapping[str, Any]
    layers: Sequence[tuple[str, Mapping[str, Any]]]

    def name_places(self, error: StudyError) -> StudyError:
        """The error with the place of each setting, if there is more than one place."""
        if sum(bool(place) for place, _ in self.layers) < 2:
            return error
        return StudyError("\n".join(map(self._name_place, str(error).splitlines())))

    def _name_place(self, line: str) -> str:
        match = _ERROR_PATH.match(line)
        path = match[1].split(".") if match else []
        for length in range(len(path), 0, -1):
            for place, layer in reversed(self.layers):
                if _has_path(layer, path[:length]):
                    return f"{place}: {line}" if place else line
        return line


def load_study_documents(path: Path, overrides: Sequence[str] = ()) -> dict[str, StudyDocument]:
    """The studies of a file by variant; the key is empty if the file has no variants.

    `key.sub=value` overrides apply to all of them. Raises `StudyError`, which names the file and the key.
    """
    layers = list(_load_layers(path).values())
    variants = next((layer[VARIANTS] for _, layer in reversed(layers) if VARIANTS in layer), None)
    for override in overrides:
        if override.partition("=")[0].strip().split(".")[0] in (EXTENDS, VARIANTS):
            raise StudyError(f"{override!r}: {EXTENDS} and {VARIANTS} can only be set in a file")
    if variants is None:
        return {"": _merge_layers(layers, overrides)}
    place = next(place for place, layer in reversed(layers) if VARIANTS in layer)
    return {
        name: _build_variant(path, name, [*layers, *_variant_layers(place, name, variant)], overrides)
        for name, variant in _require_variants(variants, place).items()
    }


def merge_settings(lower: Any, upper: Any) -> Any:
    """Two mappings are merged key by key; any other value replaces the lower one.

    A mapping also replaces a mapping of another `kind` or `base`, because its settings belong to something else.
    """
    if not isinstance(lower, Mapping) or not isinstance(upper, Mapping):
        return upper
    if any(key in upper and upper[key] != lower.get(key) for key in _IDENTITY_KEYS):
        return upper
    merged = {key: merge_settings(lower[key], value) if key in lower else value for key, value in upper.items()}
    return {**lower, **merged}


def _load_layers(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[Path, tuple[str, Mapping[str, Any]]]:
    """The layers of a file by path, lowest first, the files that it extends included.

    A file that is extended several times counts where it is first.
    """
    if path.resolve() in extended_by:
        chain = " → ".join(str(each) for each in (*extended_by, path.resolve()))
        raise StudyError(f"{path}: {EXTENDS}: the file extends itself: {chain}")
    layer = _read_mapping(path)
    below = _load_extended(str(path), layer, path.parent, (*extended_by, path.resolve()))
    return {**below, path.resolve(): (str(path), _without_extends(layer))}


def _load_extended(
    place: str, layer: Mapping[str, Any], folder: Path, extended_by: tuple[Path, ...]
) -> dict[Path, tuple[str, Mapping[str, Any]]]:
    """The layers that a layer extends, by path; paths in it are relative to `folder`."""
    value = layer.get(EXTENDS, [])
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StudyError(f"{place}: {EXTENDS}: expected the path of a study file or a list of them, got {value!r}")
    layers: dict[Path, tuple[str, Mapping[str, Any]]] = {}
    for name in names:
        path = Path(os.path.normpath(folder / Path(name).expanduser()))
        if not path.is_file():
            raise StudyError(f"{place}: {EXTENDS}: {path} is not a file; expected a study file, relative to {folder}")
        layers |= {key: each for key, each in _load_layers(path, extended_by).items() if key not in layers}
    return layers


def _without_extends(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in layer.items() if key != EXTENDS}


def _read_mapping(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror or error}; expected a study as a YAML file") from error
    except ValueError as error:  # not UTF-8, or a path that no file can have
        raise StudyError(f"{path}: {error}; expected a study as a YAML file in UTF-8") from error
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise StudyError(f"{path}: expected a mapping of settings, found {type(document).__name__}")
    return document


def _require_variants(variants: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(variants, Mapping) or not variants:
        raise StudyError(f"{place}: {VARIANTS}: expected a mapping of names to settings, got {format_input(variants)}")
    for name, variant in variants.items():
        if not isinstance(name, str) or re.fullmatch(VARIANT_NAME, name) is None:
            raise StudyError(f"{place}: {VARIANTS}: {name!r}: a name has lowercase letters, digits and hyphens")
        if not isinstance(variant or {}, Mapping):
            raise StudyError(f"{place}: {VARIANTS}.{name}: expected a mapping of settings, got {format_input(variant)}")
    return variants


def _variant_layers(place: str, name: str, variant: Mapping[str, Any] | None) -> list[tuple[str, Mapping[str, Any]]]:
    path, own_place, own = Path(place), f"{place}: {VARIANTS}.{name}", variant or {}
    below = _load_extended(own_place, own, path.parent, (path.resolve(),))
    layers = [*below.values(), (own_place, _without_extends(own))]
    nested = next((where for where, layer in layers if VARIANTS in layer), None)
    if nested is not None:
        raise StudyError(f"{nested}: {VARIANTS}: a variant has no variants of its own")
    return layers


def _build_variant(
    path: Path, name: str, layers: Sequence[tuple[str, Mapping[str, Any]]], overrides: Sequence[str]
) -> StudyDocument:
    """The study of one variant. Its name is that of the file's study, a hyphen, and the name of the variant."""
    study_name = next((layer["name"] for place, layer in reversed(layers) if "name" in layer), None)
    if study_name is None:
        raise StudyError(f"{path}: name: required setting is missing")
    own = (f"{path}: {VARIANTS}.{name}", {"name": f"{study_name}-{name}"})
    return _merge_layers([*layers, own], overrides, f"{VARIANTS}.{name}")


def _merge_layers(
    layers: Sequence[tuple[str, Mapping[str, Any]]], overrides: Sequence[str], override_place: str = ""
) -> StudyDocument:
    settings: dict[str, Any] = {}
    for _, layer in layers:
        own = {key: value for key, value in layer.items() if key != VARIANTS}
        settings = {**merge_settings(settings, own), **{key: own[key] for key in _REPLACED if key in own}}
    changes: dict[str, Any] = {}
    for override in overrides:
        settings, changes = apply_override(settings, override), apply_override(changes, override)
    layers = [*layers, (override_place, changes)]
    variables = settings.pop(VARIABLES, {})
    document = StudyDocument(settings=settings, layers=layers)
    try:
        return StudyDocument(settings=_substitute(settings, "", _require_variables(variables)), layers=layers)
    except StudyError as error:
        raise document.name_places(error) from error


def _require_variables(variables: Any) -> Mapping[str, Any]:
    if not isinstance(variables, Mapping):
        raise StudyError(f"{VARIABLES}: expected a mapping of names to values, got {format_input(variables)}")
    for name, value in variables.items():
        if isinstance(value, Mapping | list):
            raise StudyError(f"{VARIABLES}.{name}: expected text or a number, got {format_input(value)}")
    return variables


def _substitute(value: Any, key: str, variables: Mapping[str, Any]) -> Any:
    """The value with every `${name}` in its texts replaced. A text that is only `${name}` becomes the variable's value."""
    if isinstance(value, Mapping):
        return {name: _substitute(item, f"{key}.{name}".lstrip("."), variables) for name, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, key, variables) for item in value]
    if not isinstance(value, str):
        return value
    only = _REFERENCE.fullmatch(value)
    if only is not None:
        return _find_variable(only, key, variables)
    return _REFERENCE.sub(lambda match: str(_find_variable(match, key, variables)), value)


def _find_variable(match: re.Match[str], key: str, variables: Mapping[str, Any]) -> Any:
    if match[1] not in variables:
        known = ", ".join(map(str, variables)) or "none"
        raise StudyError(
            f"{key}: unknown variable {match[0]} (variables: {known}); set it with {VARIABLES}.{match[1]}="
        )
    return variables[match[1]]


def _has_path(layer: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(layer, Mapping) or key not in layer:
            return False
        layer = layer[key]
    return True
