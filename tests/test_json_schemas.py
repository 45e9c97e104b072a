"""`report.json` and label files follow the JSON schemas in docs/schema/, and a changed field is noticed."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.errors import DataError
from trimtab.report.model import REPORT_SCHEMA_VERSION, report_from_json, report_to_json
from trimtab.report.report_schema import build_report_schema
from trimtab.storage.schemas import LABEL_FILE_SCHEMA, LABELS_SCHEMA_VERSION
from trimtab.workflows.label_schema import PARQUET_TYPE, build_labels_schema

sys.path[:0] = [str(Path(__file__).parents[1] / "tools"), str(Path(__file__).parent / "report")]
import json_schemas  # noqa: E402 - tools/ is not a package
from sample_report import REPORT  # noqa: E402

REPORT_SCHEMA, LABELS_SCHEMA = build_report_schema(), build_labels_schema()
DOCUMENT = json.loads(json.dumps(report_to_json(REPORT)))
PAIRS = [
    {"prompt": "Say one.", "chosen": "one, gladly", "rejected": "no", "topic": {"a": 1}},
    {"prompt": "Say two.", "chosen": "two", "rejected": "no, never at all", "topic": {"a": 2}},
    {"prompt": "", "chosen": "x", "rejected": "y", "topic": None},
]


def validate_row(row: dict[str, Any], label_format: str) -> list[str]:
    schema = {**LABELS_SCHEMA["$defs"][label_format], "$schema": LABELS_SCHEMA["$schema"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(row)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def annotate(label_format: str, output: str) -> None:
    options = ["--annotator", "length", "--format", label_format, "--out", output, "--device", "cpu"]
    done = CliRunner().invoke(app, ["annotate", "pairs.jsonl", *options])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", json_schemas.SCHEMAS)
def test_the_schema_in_the_repository_is_current(name: str) -> None:
    schema = json_schemas.SCHEMAS[name]()
    Draft202012Validator.check_schema(schema)
    text = (json_schemas.FOLDER / name).read_text(encoding="utf-8")
    assert text == json_schemas.format_schema(schema), "run: make reference"


@pytest.mark.parametrize("what", ["report", "labels"])
def test_the_command_prints_the_schema(what: str) -> None:
    done = CliRunner().invoke(app, ["schema", what])
    assert json.loads(done.stdout) == json_schemas.SCHEMAS[f"{what}.json"]()


def test_a_report_follows_its_schema() -> None:
    assert list(Draft202012Validator(REPORT_SCHEMA).iter_errors(DOCUMENT)) == []
    assert DOCUMENT["schema_version"] == REPORT_SCHEMA_VERSION
    assert set(DOCUMENT) == set(REPORT_SCHEMA["properties"])


@pytest.mark.parametrize("part", [part for part in DOCUMENT if part not in ("missing_stages",)])
def test_a_report_without_a_part_or_with_another_does_not(part: str) -> None:
    validator = Draft202012Validator(REPORT_SCHEMA)
    assert not validator.is_valid({key: value for key, value in DOCUMENT.items() if key != part})
    assert not validator.is_valid({**DOCUMENT, f"{part}s_": []})
    assert not validator.is_valid({**DOCUMENT, part: 0.5})


def test_a_report_of_another_version_is_not_read() -> None:
    assert report_from_json(DOCUMENT) == REPORT
    assert report_from_json({key: value for key, value in DOCUMENT.items() if key != "schema_version"}) == REPORT
    with pytest.raises(DataError, match="schema_version is 2, expected 1; run `trimtab report` again"):
        report_from_json({**DOCUMENT, "schema_version": 2})


@pytest.mark.parametrize("label_format", ["rows", "ids", "trl"])
def test_json_lines_of_labels_follow_their_schema(label_format: str, folder: Path) -> None:
    annotate(label_format, "labels.jsonl")
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 2
    assert [validate_row(row, label_format) for row in rows] == [[]] * len(rows)
    assert all(Draft202012Validator(LABELS_SCHEMA).is_valid(row) for row in rows)
    changed = {**rows[0], "trimtab_extra": 1}
    assert validate_row(changed, label_format) != []


@pytest.mark.parametrize("label_format", ["rows", "ids"])
def test_parquet_files_of_labels_have_the_types_and_the_version_of_the_schema(label_format: str, folder: Path) -> None:
    annotate(label_format, "labels.parquet")
    schema = pq.read_schema(folder / "labels.parquet")
    described = LABELS_SCHEMA["$defs"][label_format]["properties"]
    types = {name: str(schema.field(name).type) for name in schema.names if name in described}
    assert len(types) > 8
    assert {name: found for name, found in types.items() if found != "null"} == {
        name: described[name][PARQUET_TYPE] for name, found in types.items() if found != "null"
    }
    assert schema.metadata[b"trimtab_labels_schema_version"] == str(LABELS_SCHEMA_VERSION).encode()


def test_the_files_of_a_run_have_the_version_of_the_schema() -> None:
    assert list(LABELS_SCHEMA["$defs"]["run"]["properties"]) == LABEL_FILE_SCHEMA.names
    assert LABEL_FILE_SCHEMA.metadata == {b"trimtab_labels_schema_version": str(LABELS_SCHEMA_VERSION).encode()}


def test_a_removed_or_changed_field_needs_a_higher_version() -> None:
    removed, changed, added = (copy.deepcopy(REPORT_SCHEMA) for _ in range(3))
    del removed["$defs"]["Metric"]["properties"]["low"]
    changed["$defs"]["Metric"]["properties"]["n"]["type"] = "string"
    added["$defs"]["Metric"]["properties"]["median"] = {"type": "number"}
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, added) == []
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, removed) == [".Metric.low"]
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, changed) == [".Metric.n"]
    changed["properties"]["schema_version"] = {"const": REPORT_SCHEMA_VERSION + 1}
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, changed) == []
    nested_added, nested_removed = (copy.deepcopy(REPORT_SCHEMA) for _ in range(2))
    nested_added["properties"]["label_info"]["additionalProperties"]["properties"]["median"] = {"type": "number"}
    del nested_removed["properties"]["label_info"]["additionalProperties"]["properties"]["n_pairs"]
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, nested_added) == []
    assert json_schemas.list_lost_fields(REPORT_SCHEMA, nested_removed) == [".label_info/additionalProperties.n_pairs"]
    columns = copy.deepcopy(LABELS_SCHEMA)
    del columns["$defs"]["ids"]["properties"]["p_a"]
    assert json_schemas.list_lost_fields(LABELS_SCHEMA, columns) == [".ids.p_a"]
    assert json_schemas.list_lost_fields(LABELS_SCHEMA, {**columns, "x-schema-version": 2}) == []
