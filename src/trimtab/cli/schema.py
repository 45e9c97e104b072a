"""The command that prints JSON schemas."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from trimtab.cli.completion import complete_words
from trimtab.cli.terminal import app, out
from trimtab.errors import StudyError

_SCHEMAS = ("study", "report", "labels")


@app.command()
def schema(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="study: study files. report: report.json. labels: rows of label files.",
            autocompletion=complete_words(*_SCHEMAS),
        ),
    ] = "study",
) -> None:
    """Print the JSON schema (2020-12) of studies or of results.

    An editor with a YAML language server completes and checks a study whose first line is
    # yaml-language-server: $schema=study.json

    For example: trimtab schema > study.json
    """
    from trimtab.config.study_schema import build_study_schema
    from trimtab.report.report_schema import build_report_schema
    from trimtab.workflows.label_schema import build_labels_schema

    builders = dict(zip(_SCHEMAS, (build_study_schema, build_report_schema, build_labels_schema), strict=True))
    if what not in builders:
        raise StudyError(f"unknown schema {what!r} (expected one of: {', '.join(builders)})")
    out.file.write(json.dumps(builders[what](), indent=1, ensure_ascii=False) + "\n")
