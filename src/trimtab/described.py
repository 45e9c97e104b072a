"""What the settings of a class are, for people: name, default, what is accepted, and what it means."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.components import Kind

# `…` stands for a setting that must be given.
NEEDED = "…"
PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "null", Any: "any value"}
NUMBERS = (PLAIN[int], PLAIN[float])
COMPONENTS = {
    "annotators": "annotator",
    "data": "source",
    "engines": "engine",
    "evaluation": "scorer or judge",
    "filters": "filter",
}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Setting:
    """`default` is as it is typed on the command line; `meaning` is empty where the class's own text says it."""

    name: str
    default: str
    accepts: str
    meaning: str


def settings_of(cls: type[BaseModel], leave_out: Collection[str] = ()) -> list[Setting]:
    """The settings of a class by the names that a study gives them, in the order in which they stand."""
    return [
        Setting(field.alias or name, default_of(field), accepted(field), field.description or "")
        for name, field in cls.model_fields.items()
        if name not in leave_out
    ]


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return NEEDED
    value = field.get_default(call_default_factory=True, validated_data={})
    return told(value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value)


def told(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def accepted(field: FieldInfo) -> str:
    """What a setting may be, as it is written in YAML: `number > 0`, `hard, soft or weighted`, `{NAME: annotator, …}`."""
    return _either(_words(field.annotation, field.metadata))


def _words(annotation: Any, metadata: Sequence[Any] = ()) -> list[str]:
    """The kinds of value that a type allows, bounds with the numbers that they are of."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inside[0], [*metadata, *inside[1:]])
    if origin in (Union, UnionType):
        return [word for each in inside for word in _words(each, metadata)]
    if origin is Literal:
        return [told(each) for each in inside]
    kinds = [COMPONENTS[each.package] for each in metadata if isinstance(each, Kind)]
    if kinds and annotation is not NoneType:
        return kinds[:1]
    word = _word(annotation, origin, inside)
    bounds = " and ".join(_bounds(metadata)) if word in NUMBERS else ""
    return [f"{word} {bounds}".rstrip()]


def _word(annotation: Any, origin: Any, inside: Sequence[Any]) -> str:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{{NAME: {_either(_words(inside[1]))}, …}}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"[{_either(_words(inside[0]))}, …]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: Sequence[Any]) -> list[str]:
    return [
        f"{sign} {getattr(mark, name):g}" for mark in metadata for name, sign in BOUNDS.items() if hasattr(mark, name)
    ]


def _either(words: Sequence[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last
