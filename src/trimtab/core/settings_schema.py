"""What the settings of a class are, for people: name, default, what is accepted, and what it means."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.core.component import ComponentField

# `…` stands for a setting that must be given.
REQUIRED = "…"
TYPE_NAMES = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    NoneType: "null",
    Any: "any value",
}
NUMBER_TYPE_NAMES = (TYPE_NAMES[int], TYPE_NAMES[float])
COMPONENT_NAMES = {
    "annotators": "annotator",
    "data": "source",
    "engines": "engine",
    "evaluation": "scorer or judge",
    "filters": "filter",
}
BOUND_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """`default` is as it is typed on the command line; `meaning` is empty where the class's own text says it."""

    name: str
    default: str
    accepted_values: str
    description: str


def describe_settings(cls: type[BaseModel], exclude: Collection[str] = ()) -> list[SettingInfo]:
    """The settings of a class by the names that a study gives them, in the order in which they stand."""
    return [
        SettingInfo(field.alias or name, format_default(field), format_accepted_values(field), field.description or "")
        for name, field in cls.model_fields.items()
        if name not in exclude
    ]


def format_default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True, validated_data={})
    return format_setting_value(
        value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value
    )


def format_setting_value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def format_accepted_values(field: FieldInfo) -> str:
    """What a setting may be, as it is written in YAML: `number > 0`, `hard, soft or weighted`, `{NAME: annotator, …}`."""
    return _join_alternatives(_list_type_names(field.annotation, field.metadata))


def _list_type_names(annotation: Any, metadata: Sequence[Any] = ()) -> list[str]:
    """The kinds of value that a type allows, bounds with the numbers that they are of."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _list_type_names(inside[0], [*metadata, *inside[1:]])
    if origin in (Union, UnionType):
        return [word for each in inside for word in _list_type_names(each, metadata)]
    if origin is Literal:
        return [format_setting_value(each) for each in inside]
    kinds = [COMPONENT_NAMES[each.package] for each in metadata if isinstance(each, ComponentField)]
    if kinds and annotation is not NoneType:
        return kinds[:1]
    word = _get_type_name(annotation, origin, inside)
    bounds = " and ".join(_format_bounds(metadata)) if word in NUMBER_TYPE_NAMES else ""
    return [f"{word} {bounds}".rstrip()]


def _get_type_name(annotation: Any, origin: Any, inside: Sequence[Any]) -> str:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{{NAME: {_join_alternatives(_list_type_names(inside[1]))}, …}}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"[{_join_alternatives(_list_type_names(inside[0]))}, …]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings"
    return TYPE_NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _format_bounds(metadata: Sequence[Any]) -> list[str]:
    return [
        f"{sign} {getattr(mark, name):g}"
        for mark in metadata
        for name, sign in BOUND_SIGNS.items()
        if hasattr(mark, name)
    ]


def _join_alternatives(words: Sequence[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last
