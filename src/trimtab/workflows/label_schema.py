"""The JSON schema of label files: the columns of each format, with their types in Parquet."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from trimtab.core.json_schema import DIALECT, JsonSchema
from trimtab.data.parsing.label_files import LABEL_PREFIX, STATUSES, UNUSABLE
from trimtab.storage.schemas import LABEL_FILE_SCHEMA, LABELS_SCHEMA_VERSION

# The type of a column in a Parquet file, next to its type in JSON lines.
PARQUET_TYPE = "x-parquet-type"
_JSON_TYPES = {pa.string(): "string", pa.float64(): "number", pa.int64(): "integer"}
_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int64()
_TYPES = {
    "file": _TEXT,
    "row": _COUNT,
    "preferred": _TEXT,
    "probability": _NUMBER,
    "margin": _NUMBER,
    "status": _TEXT,
    "note": _TEXT,
    "annotator": _TEXT,
    "weights": _TEXT,
    "tokens": _COUNT,
    "calls": _COUNT,
    "seconds": _NUMBER,
    "detail": _TEXT,
    "id": _TEXT,
    "p_a": _NUMBER,
    "prompt_hash": _TEXT,
    "response_1": _TEXT,
    "response_2": _TEXT,
    "p_chosen": _NUMBER,
    "weight": _NUMBER,
}
# Columns of every row of a format; the others are there if there is something to tell.
_ROWS = ("file", "row", "preferred", "probability", "status", "note")
_OPTIONAL_ROWS = ("margin", "annotator", "weights", "tokens", "calls", "seconds", "detail", "id", "p_a")
_IDS = ("id", "p_a", "margin", "status", "note", "prompt_hash", "annotator", "weights", "tokens", "calls", "detail")
_TRL = ("p_chosen", "margin", "weight", "id")
_DESCRIPTION = (
    "A row of a label file: rows, ids or trl, as `trimtab annotate --format` writes them, or run, a row of labels/ARM.parquet "
    "in the folder of a run. In JSON lines a column is a key, and `detail` is an object. The metadata of a Parquet file has "
    f"the version: trimtab_labels_schema_version, {LABELS_SCHEMA_VERSION}."
)


def build_labels_schema() -> JsonSchema:
    """The JSON schema (2020-12) of a row of a label file, as alternatives by format."""
    formats = {"rows": _describe_rows(), "ids": _describe_ids(), "trl": _describe_trl(), "run": _describe_run_rows()}
    return {
        "$schema": DIALECT,
        "title": "Trimtab label files",
        "description": _DESCRIPTION,
        "x-schema-version": LABELS_SCHEMA_VERSION,
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in formats],
        "$defs": formats,
    }


def _describe_rows() -> JsonSchema:
    """The user's columns, then those of the label."""
    names = (*_ROWS, *_OPTIONAL_ROWS, "response_1", "response_2")
    properties = {f"{LABEL_PREFIX}{name}": _describe_column(name) for name in names}
    properties[f"{LABEL_PREFIX}status"] = {**_describe_column("status"), "enum": [*STATUSES, UNUSABLE]}
    return {
        "type": "object",
        "properties": properties,
        "required": [f"{LABEL_PREFIX}{name}" for name in _ROWS],
        "patternProperties": {f"^(?!{LABEL_PREFIX})": True},
        "additionalProperties": False,
    }


def _describe_ids() -> JsonSchema:
    properties = {name: _describe_column(name) for name in (*_IDS, "seconds")}
    properties["status"] = {**properties["status"], "enum": list(STATUSES)}
    return {"type": "object", "properties": properties, "required": list(_IDS), "additionalProperties": False}


def _describe_trl() -> JsonSchema:
    """TRL's conversational preference format."""
    message = {"type": "object", "required": ["role", "content"], "properties": {"role": {"type": "string"}}}
    texts = {name: {"type": "array", "items": message} for name in ("prompt", "chosen", "rejected")}
    labels = {f"{LABEL_PREFIX}{name}": _describe_column(name) for name in _TRL}
    return {
        "type": "object",
        "properties": {**texts, "tools": {"type": "string"}, **labels},
        "required": [*texts, *labels],
        "additionalProperties": False,
    }


def _describe_run_rows() -> JsonSchema:
    properties = {field.name: _describe_type(field.type) for field in LABEL_FILE_SCHEMA}
    properties["status"] = {**properties["status"], "enum": list(STATUSES)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _describe_column(name: str) -> JsonSchema:
    described = _describe_type(_TYPES[name])
    return {**described, "type": [*described["type"], "object"]} if name == "detail" else described


def _describe_type(data_type: Any) -> JsonSchema:
    return {"type": [_JSON_TYPES[data_type], "null"], PARQUET_TYPE: str(data_type)}
