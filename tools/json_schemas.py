"""Rewrites the JSON schemas in docs/schema/: `python tools/json_schemas.py`. Tests fail if one is stale."""

from __future__ import annotations

from pathlib import Path

from trimtab.config.study_schema import format_study_schema

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
SCHEMAS = {"study.json": format_study_schema}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, format_schema in SCHEMAS.items():
        (FOLDER / name).write_text(format_schema(), encoding="utf-8")
