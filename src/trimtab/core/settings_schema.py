"""Describes the settings of a class for display: name, default, accepted values and description."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.core.component import ComponentField

# Shown as the default of a required setting.
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
    "sources": "source",
    "engines": "engine",
    "scorers": "scorer",
    "judges": "judge",
    "filters": "filter",
}
BOUND_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting. `default` is written as on the command line; `description` is empty if the class docstring covers it."""

    name: str
    default: str
    accepted_values: str
    description: str


def describe_settings(cls: type[BaseModel], exclude: Collection[str] = ()) -> list[SettingInfo]:
    """Describes the settings of a class, by their names in a study, in definition order."""
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
    """Formats the accepted values as in YAML: `number > 0`, `hard, soft or weighted`, `{NAME: annotator, …}`."""
    return _join_alternatives(_list_type_names(field.annotation, field.metadata))


def _list_type_names(annotation: Any, metadata: Sequence[Any] = ()) -> list[str]:
    """The kinds of values that a type allows, including numeric bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _list_type_names(arguments[0], [*metadata, *arguments[1:]])
    if origin in (Union, UnionType):
        return [name for argument in arguments for name in _list_type_names(argument, metadata)]
    if origin is Literal:
        return [format_setting_value(value) for value in arguments]
    components = [COMPONENT_NAMES[mark.package] for mark in metadata if isinstance(mark, ComponentField)]
    if components and annotation is not NoneType:
        return components[:1]
    name = _get_type_name(annotation, origin, arguments)
    bounds = " and ".join(_format_bounds(metadata)) if name in NUMBER_TYPE_NAMES else ""
    return [f"{name} {bounds}".rstrip()]


def _get_type_name(annotation: Any, origin: Any, arguments: Sequence[Any]) -> str:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{{NAME: {_join_alternatives(_list_type_names(arguments[1]))}, …}}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"[{_join_alternatives(_list_type_names(arguments[0]))}, …]"
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


def _join_alternatives(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} or {last}" if others else last
