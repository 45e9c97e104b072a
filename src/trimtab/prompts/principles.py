"""Principles of a good response, each with a worked example, loaded from YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from trimtab.errors import DataError

PrincipleGroup = Literal["helpful", "harmless"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A prompt, a response that follows the principle and one that does not, each with a short explanation."""

    prompt: str
    better: str
    worse: str
    why_better: str
    why_worse: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """`name` is the candidate that models score; `text` states in one sentence what a response should do."""

    name: str
    group: PrincipleGroup
    text: str
    demonstration: Demonstration


def load_principles(path: str | None = None) -> tuple[Principle, ...]:
    """Loads principles from a YAML list, in its order; without a path, the built-in ones (the eleven of Li et al. 2025, SEAM).

    Each is a mapping with `name`, `group` (helpful or harmless), `text`, and `demonstration`: a mapping with `prompt`,
    `better`, `worse`, `why_better` and `why_worse`. Raises `DataError` with the location if the file is not such a list, if
    a key is missing, unknown or empty, if two principles share a name, or if a name is a prefix of another.
    """
    where = path or "principles.yaml"
    entries = _parse_list(_read_text(path), where)
    principles = tuple(
        _parse_principle(entry, f"{where}: principle {index}") for index, entry in enumerate(entries, start=1)
    )
    counts = Counter(principle.name.casefold() for principle in principles)
    duplicates = [principle.name for principle in principles if counts[principle.name.casefold()] > 1]
    if duplicates:
        raise DataError(f"{where}: {len(duplicates)} principles are named {duplicates[0]!r}; names must be unique")
    for name, longer in permutations([principle.name for principle in principles], 2):
        # a model that generates the longer name has generated the shorter one by then
        if longer.casefold().startswith(name.casefold()):
            raise DataError(
                f"{where}: the name {longer!r} starts with another name, {name!r}, which would always score at least as high; "
                "rename one of them"
            )
    return principles


def resolve_principles(principles: bool | str) -> tuple[Principle, ...]:
    """The built-in principles (True), none (False), or those of a file."""
    if isinstance(principles, str):
        return load_principles(principles)
    return load_principles() if principles else ()


def _read_text(path: str | None) -> str:
    if path is None:
        return files("trimtab.prompts").joinpath("principles.yaml").read_text(encoding="utf-8")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the principles: {error}") from error


def _parse_list(text: str, where: str) -> list[Any]:
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{where}: not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{where}: expected a list of principles, got {_describe_value(entries)}")
    return entries


def _parse_principle(entry: object, location: str) -> Principle:
    fields_ = _require_mapping(entry, location, Principle)
    name = _require_text(fields_, "name", location)
    location = f"{location} ({name})"
    group = fields_["group"]
    if group not in get_args(PrincipleGroup):
        raise DataError(f"{location}: group must be one of {', '.join(get_args(PrincipleGroup))}, got {group!r}")
    text = _require_text(fields_, "text", location)
    location = f"{location}: demonstration"
    demonstration = _require_mapping(fields_["demonstration"], location, Demonstration)
    parts = {key: _require_text(demonstration, key, location) for key in demonstration}
    return Principle(name=name, group=group, text=text, demonstration=Demonstration(**parts))


def _require_mapping(entry: object, location: str, cls: type) -> Mapping[str, Any]:
    """The entry if it is a mapping with exactly the fields of `cls`; raises `DataError` otherwise."""
    expected = [field.name for field in fields(cls)]
    if not isinstance(entry, Mapping):
        raise DataError(f"{location}: expected a mapping with {', '.join(expected)}, got {_describe_value(entry)}")
    missing = [name for name in expected if name not in entry]
    unknown = [str(name) for name in entry if name not in expected]
    if missing or unknown:
        errors = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise DataError(f"{location}: expected {', '.join(expected)}; {' and '.join(errors)}")
    return entry


def _require_text(mapping: Mapping[str, Any], name: str, location: str) -> str:
    value = mapping[name]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{location}: {name} must be non-empty text, got {_describe_value(value)}")
    return value.strip()


def _describe_value(value: object) -> str:
    """A value, short enough for an error message."""
    text = repr(value)
    return "nothing" if value is None else text if len(text) <= 60 else f"{text[:57]}..."
