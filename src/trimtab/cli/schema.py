"""The command that prints the JSON schema of study files."""

from __future__ import annotations

from trimtab.cli.terminal import app, out


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors.

    An editor with a YAML language server completes and checks a study whose first line is
    # yaml-language-server: $schema=study.json

    For example: trimtab schema > study.json
    """
    from trimtab.config.study_schema import format_study_schema

    out.file.write(format_study_schema())
