"""Rewrites the JSON schemas in docs/schema/: `python tools/json_schemas.py`. Tests fail if one is stale.

A field of `report.json` or of label files that is removed or changed is an error unless the version is higher, so that
programs which read the files can notice it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trimtab.config.study_schema import build_study_schema
from trimtab.report.report_schema import build_report_schema
from trimtab.workflows.label_schema import build_labels_schema

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "study.json": build_study_schema,
    "report.json": build_report_schema,
    "labels.json": build_labels_schema,
}
VERSIONED = ("report.json", "labels.json")


def format_schema(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def list_lost_fields(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The fields of the old schema that the new one does not have, or has with another type, unless its version is higher."""
    if get_version(new) > get_version(old):
        return []
    fields = dict(iter_fields(new))
    return [place for place, described in iter_fields(old) if fields.get(place) != described]


def get_version(schema: dict[str, Any]) -> int:
    in_document = schema.get("properties", {}).get("schema_version", {}).get("const")
    return int(schema.get("x-schema-version", in_document))


def iter_fields(schema: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every property with its place, and its description without that of the properties inside it."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from iter_fields(each, f"{place}/{index}")
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            for name, described in value.items():
                if key == "properties":
                    yield f"{place}.{name}", describe_field(described)
                yield from iter_fields(described, f"{place}.{name}")
        else:
            yield from iter_fields(value, f"{place}/{key}" if key in ("anyOf", "additionalProperties") else place)


def describe_field(schema: Any) -> str:
    described = drop_properties(schema)
    return described if isinstance(described, str) else json.dumps(described, sort_keys=True)


def drop_properties(schema: Any) -> Any:
    """The schema with `object` for every object that has properties, also for those inside arrays and other objects."""
    if isinstance(schema, list):
        return [drop_properties(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema:
        return "object"
    return {
        key: drop_properties(value) for key, value in schema.items() if key not in ("required", "description", "const")
    }


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, build in SCHEMAS.items():
        path, schema = FOLDER / name, build()
        if name in VERSIONED and path.exists():
            lost = list_lost_fields(json.loads(path.read_text(encoding="utf-8")), schema)
            if lost:
                print(f"{name}: raise its version, since these fields were removed or changed: {', '.join(lost)}")
                return 1
        path.write_text(format_schema(schema), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
