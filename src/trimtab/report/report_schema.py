"""The JSON schema of `report.json`, from the values of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from trimtab.core.json_schema import DIALECT, JsonSchema
from trimtab.report.model import METRICS_BY_NAME, REPORT_SCHEMA_VERSION, VALUES_BY_NAME, Report

_COST = {"type": "object", "properties": {"seconds": {"type": "number"}, "tokens": {"type": "integer"}}}


def build_report_schema() -> JsonSchema:
    """The JSON schema (2020-12) of `report.json`, with the parts that are keyed by name (`report_to_json`)."""
    schema = dict(_allow_missing_numbers(TypeAdapter(Report).json_schema(mode="serialization")))
    definitions, parts = schema.pop("$defs"), schema["properties"]
    for part, (key, info_part) in METRICS_BY_NAME.items():
        item = _take_item(parts[part], definitions)
        parts[part] = _by_name(item["properties"]["metrics"])
        parts[info_part] = _by_name(_without_fields(item, key, "metrics"))
    for part, key in VALUES_BY_NAME.items():
        parts[part] = _by_name(_without_fields(_take_item(parts[part], definitions), key))
    first = {"schema_version": {"const": REPORT_SCHEMA_VERSION}}
    properties = {**first, **parts, "cost": {**_COST, "required": list(_COST["properties"])}}
    return {
        "$schema": DIALECT,
        "title": "Trimtab report.json",
        "description": schema["description"],
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": definitions,
    }


def _take_item(array: Mapping[str, Any], definitions: dict[str, JsonSchema]) -> JsonSchema:
    return definitions.pop(array["items"]["$ref"].removeprefix("#/$defs/"))


def _by_name(schema: JsonSchema) -> JsonSchema:
    return {"type": "object", "additionalProperties": schema}


def _without_fields(schema: JsonSchema, *names: str) -> JsonSchema:
    properties = {name: value for name, value in schema["properties"].items() if name not in names}
    return {**schema, "properties": properties, "required": [name for name in schema["required"] if name not in names]}


def _allow_missing_numbers(schema: Any) -> Any:
    """The schema in which every number can be null: NaN and infinity are. Titles and defaults are left out."""
    if isinstance(schema, list):
        return [_allow_missing_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema:
        named = {name: _allow_missing_numbers(each) for name, each in schema["properties"].items()}
        rest = _allow_missing_numbers({key: value for key, value in schema.items() if key != "properties"})
        return {**rest, "properties": named}
    kept = {key: _allow_missing_numbers(value) for key, value in schema.items() if key not in ("title", "default")}
    return {**kept, "type": ["number", "null"]} if kept.get("type") == "number" else kept
