"""What a good response does, one principle a time, each with a worked example."""

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
    """A prompt, a response that keeps to the principle, one that does not, and a sentence or two on why, for each."""

    prompt: str
    better: str
    worse: str
    why_better: str
    why_worse: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """`name` is what models are asked to choose by; `text` says in a sentence what a response should do."""

    name: str
    group: PrincipleGroup
    text: str
    demonstration: Demonstration


def load_principles(path: str | None = None) -> tuple[Principle, ...]:
    """The principles of a YAML list, in its order; without a path those that ship (the eleven of Li et al. 2025, SEAM).

    Each is a mapping with `name`, `group` (helpful or harmless), `text`, and `demonstration`: a mapping with `prompt`,
    `better`, `worse`, `why_better` and `why_worse`. Raises `DataError` that names the place, where a principle lacks one of
    these, has another key, is empty, shares its name or has one that another begins with, or where the file is not such a list.
    """
    where = path or "principles.yaml"
    listed = _parse_list(_read_text(path), where)
    principles = tuple(
        _parse_principle(entry, f"{where}: principle {place}") for place, entry in enumerate(listed, start=1)
    )
    counts = Counter(each.name.casefold() for each in principles)
    twice = [each.name for each in principles if counts[each.name.casefold()] > 1]
    if twice:
        raise DataError(f"{where}: {len(twice)} principles are named {twice[0]!r}; every principle needs its own name")
    for name, longer in permutations([each.name for each in principles], 2):
        # a model that is about to write the longer name has written the shorter one by then
        if longer.casefold().startswith(name.casefold()):
            raise DataError(
                f"{where}: the name {longer!r} begins with another, {name!r}, which would be weighed as at least as likely; "
                "give one of them another name"
            )
    return principles


def resolve_principles(principles: bool | str) -> tuple[Principle, ...]:
    """Those that ship, none, or those of a file."""
    if isinstance(principles, str):
        return load_principles(principles)
    return load_principles() if principles else ()


def _read_text(path: str | None) -> str:
    if path is None:
        return files("trimtab.prompts").joinpath("principles.yaml").read_text(encoding="utf-8")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the principles cannot be read: {error}") from error


def _parse_list(text: str, where: str) -> list[Any]:
    try:
        listed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{where}: not YAML: {error}") from error
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where}: expected a list of principles, got {_describe_value(listed)}")
    return listed


def _parse_principle(entry: object, place: str) -> Principle:
    given = _require_mapping(entry, place, Principle)
    name = _require_text(given, "name", place)
    place = f"{place} ({name})"
    group = given["group"]
    if group not in get_args(PrincipleGroup):
        raise DataError(f"{place}: group must be one of {', '.join(get_args(PrincipleGroup))}, got {group!r}")
    text = _require_text(given, "text", place)
    shown = _require_mapping(given["demonstration"], f"{place}: demonstration", Demonstration)
    parts = {each: _require_text(shown, each, f"{place}: demonstration") for each in shown}
    return Principle(name=name, group=group, text=text, demonstration=Demonstration(**parts))


def _require_mapping(entry: object, place: str, cls: type) -> Mapping[str, Any]:
    """The entry, if it is a mapping with the fields of `cls` and no others."""
    wanted = [each.name for each in fields(cls)]
    if not isinstance(entry, Mapping):
        raise DataError(f"{place}: expected a mapping with {', '.join(wanted)}, got {_describe_value(entry)}")
    missing = [name for name in wanted if name not in entry]
    other = [str(name) for name in entry if name not in wanted]
    if missing or other:
        wrong = [f"{', '.join(missing)} missing"] * bool(missing) + [f"{', '.join(other)} not known"] * bool(other)
        raise DataError(f"{place}: expected {', '.join(wanted)}; {' and '.join(wrong)}")
    return entry


def _require_text(given: Mapping[str, Any], name: str, place: str) -> str:
    value = given[name]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {name} must be text that is not empty, got {_describe_value(value)}")
    return value.strip()


def _describe_value(value: object) -> str:
    """A wrong value, short enough for a message."""
    written = repr(value)
    return "nothing" if value is None else written if len(written) <= 60 else f"{written[:57]}..."
