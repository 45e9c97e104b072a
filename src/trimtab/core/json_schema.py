"""JSON schemas of settings classes and components, as the text of a study file has them.

A `#/$defs/` name is that of a settings class (`Arm`), of a component (`annotators.length`), or of a package's alternatives by
kind (`annotators`). A definition with required settings exists twice: complete, and as `layer.NAME` without them, for files
that override others.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from trimtab.core.component import COMPONENT_MARK, TEXT_MARK, find_component_class
from trimtab.core.component_loading import list_kinds
from trimtab.core.scalar_checks import MAX_FLOAT, MAX_INT, MAX_SEED
from trimtab.core.settings_schema import COMPONENT_NAMES

JsonSchema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REF_PREFIX = "#/$defs/"
LAYER_PREFIX = "layer."
VARIABLE = "variable"
_CUSTOM_KIND = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
_LISTS, _MAPPINGS = ("anyOf", "oneOf", "allOf", "prefixItems"), ("properties", "patternProperties")


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def build_definitions(settings_class: type[BaseModel]) -> dict[str, JsonSchema]:
    """The definitions of a settings class, of the settings classes in its fields, and of all built-in components."""
    components = {
        f"{package}.{kind}": find_component_class(package, kind)
        for package in COMPONENT_NAMES
        for kind in list_kinds(package)
    }
    classes = [settings_class, *components.values()]
    references, document = models_json_schema(
        [(cls, "validation") for cls in classes], schema_generator=_WithoutTitles, ref_template=f"{REF_PREFIX}{{model}}"
    )
    names = {references[cls, "validation"]["$ref"].removeprefix(REF_PREFIX): name for name, cls in components.items()}
    settings = {names.get(name, name): schema for name, schema in document["$defs"].items()}
    definitions = {VARIABLE: _variable_schema()}
    shared = _find_optional(settings)
    for prefix in ("", LAYER_PREFIX):
        writer = _Writer(prefix, names, shared)
        definitions |= {
            f"{prefix}{name}": writer.convert_class(name, schema)
            for name, schema in settings.items()
            if not prefix or name not in shared
        }
        definitions |= {
            f"{prefix}{package}": _list_alternatives(package, settings, prefix) for package in COMPONENT_NAMES
        }
    return definitions


def refer_to(name: str) -> JsonSchema:
    return {"$ref": f"{REF_PREFIX}{name}"}


def allow_variable(schema: Mapping[str, Any]) -> JsonSchema:
    """The schema, or a text with `${name}`."""
    if schema.get("type") == "string" and not {"enum", "pattern", "maxLength"} & set(schema):
        return dict(schema)
    outer = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    alternatives = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    return {**outer, "anyOf": [*alternatives, refer_to(VARIABLE)]} if inner else outer


class _Writer:
    """Converts the schemas that pydantic writes: components by kind, bounds, and variables wherever there is a value."""

    def __init__(self, prefix: str, names: Mapping[str, str], shared: Collection[str]) -> None:
        self.prefix, self.names, self.shared = prefix, names, shared

    def convert_class(self, name: str, schema: Mapping[str, Any]) -> JsonSchema:
        """The schema of a settings class; that of a component has its `kind`."""
        is_text = schema.get(TEXT_MARK, False)
        converted = self.convert({key: value for key, value in schema.items() if key not in ("title", TEXT_MARK)})
        converted["description"] = _join_first_paragraph(schema.get("description", ""))
        package, _, kind = name.rpartition(".")
        if package:
            required = [] if self.prefix else ["kind"]
            converted["properties"] = {"kind": allow_variable({"const": kind}), **converted.get("properties", {})}
            converted["required"] = [*required, *converted.get("required", ())]
        if self.prefix:
            converted.pop("required", None)
        return {"anyOf": [{"type": "string", "minLength": 1}, converted]} if is_text else converted

    def convert(self, schema: Mapping[str, Any], key: str = "") -> JsonSchema:
        """The schema of the value of a key."""
        converted: JsonSchema = {}
        for keyword, value in schema.items():
            if keyword == COMPONENT_MARK:
                converted |= self._refer_to_component(value, schema.get(TEXT_MARK, False))
            elif keyword == "$ref":
                name = value.removeprefix(REF_PREFIX)
                converted |= refer_to(name if name in self.shared else f"{self.prefix}{self.names.get(name, name)}")
            elif keyword in _LISTS:
                converted[keyword] = [self.convert(each, key) for each in value]
            elif keyword in _MAPPINGS:
                converted[keyword] = {name: allow_variable(self.convert(each, name)) for name, each in value.items()}
            elif keyword in ("items", "additionalProperties") and isinstance(value, Mapping):
                converted[keyword] = allow_variable(self.convert(value, key))
            elif keyword != TEXT_MARK:
                converted[keyword] = value
        if "patternProperties" in converted:
            converted["additionalProperties"] = False
        return _add_bounds(converted, key)

    def _refer_to_component(self, package: str, is_text: bool) -> JsonSchema:
        alternatives = refer_to(f"{self.prefix}{package}")
        return {"anyOf": [{"type": "string", "minLength": 1}, alternatives]} if is_text else alternatives


def _find_optional(settings: Mapping[str, JsonSchema]) -> set[str]:
    """The settings classes without a required setting, in the classes of their fields too, so that a layer changes nothing."""
    optional = {
        name
        for name, schema in settings.items()
        if "." not in name and "required" not in schema and COMPONENT_MARK not in json.dumps(schema)
    }
    while True:
        left = {
            name
            for name in optional
            if set(re.findall(rf'"{REF_PREFIX}([^"]+)"', json.dumps(settings[name]))) <= optional
        }
        if left == optional:
            return optional
        optional = left


def _list_alternatives(package: str, settings: Mapping[str, JsonSchema], prefix: str) -> JsonSchema:
    """A component: a bare kind, or a mapping with the settings of its kind. In a layer, the kind can be in another file.

    Alternatives are selected by `kind` with if and then, so that an error is about the kind that was given.
    """
    kinds = list_kinds(package)
    bare = [kind for kind in kinds if not settings[f"{package}.{kind}"].get("required")]
    alternatives = {kind: refer_to(f"{prefix}{package}.{kind}") for kind in kinds}
    mapping: JsonSchema = {
        "type": "object",
        "properties": {
            "kind": allow_variable({"anyOf": [{"enum": kinds}, {"type": "string", "pattern": _CUSTOM_KIND}]})
        },
        "allOf": [{"if": _has_kind(kind), "then": alternatives[kind]} for kind in kinds],
    }
    if prefix:
        mapping["allOf"].append({"if": {"required": ["kind"]}, "else": {"anyOf": list(alternatives.values())}})
    else:
        mapping["required"] = ["kind"]
    return {"anyOf": [{"enum": bare}, {"type": "string", "pattern": _CUSTOM_KIND}, mapping]}


def _has_kind(kind: str) -> JsonSchema:
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _add_bounds(schema: JsonSchema, key: str) -> JsonSchema:
    """Adds the bounds that hold for every number (`scalar_checks`)."""
    if schema.get("type") not in ("integer", "number"):
        return schema
    is_integer = schema["type"] == "integer"
    is_seed = is_integer and (key == "seed" or key.endswith("_seed"))
    largest = MAX_SEED if is_seed else MAX_INT if is_integer else MAX_FLOAT
    bounds: JsonSchema = {}
    if not {"minimum", "exclusiveMinimum"} & set(schema):
        bounds["minimum"] = 0 if is_seed else -largest
    if not {"maximum", "exclusiveMaximum"} & set(schema):
        bounds["maximum"] = largest
    return {**schema, **bounds}


def _variable_schema() -> JsonSchema:
    return {
        "type": "string",
        "pattern": r"\$\{[^}]*\}",
        "description": "a text with ${name}, which is replaced by the variable of this name",
    }


def _join_first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n", 1)[0].split())
