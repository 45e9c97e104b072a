"""The command line. Results go to standard output, messages to standard error."""

# ruff: noqa: I001 - --help lists commands in import order
from __future__ import annotations

import sys

from trimtab.cli import (
    studies,
    work,
    sample,
    labels,
    label,
    audit,
    results,
    export,
    verify,
    compare_labels,
    list_components,
    doctor,
    schema,
    skill,
)
from trimtab.cli.terminal import app, err
from trimtab.errors import TrimtabError

__all__ = [
    "app",
    "audit",
    "compare_labels",
    "doctor",
    "export",
    "label",
    "labels",
    "list_components",
    "main",
    "results",
    "sample",
    "schema",
    "skill",
    "studies",
    "verify",
    "work",
]

# The exit status of a command that was stopped by Ctrl+C.
INTERRUPTED = 130


def main() -> None:
    """Runs the command. Expected errors are printed without a traceback (exit status 1); an interrupt exits with 130."""
    try:
        app()
    except TrimtabError as error:
        err.print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except SystemExit as stop:  # Typer turns Ctrl+C into an exit status and prints nothing
        if stop.code == INTERRUPTED:
            err.print("\nstopped; run the same command to resume", highlight=False)
        raise
