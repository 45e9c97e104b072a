"""The command line. Messages go to the terminal's error stream, results to its output."""

# ruff: noqa: I001 - --help shows commands in the order in which they are imported
from __future__ import annotations

import sys
from pathlib import Path

from trimtab.cli import studies, labels, audit, results, agree, kinds
from trimtab.cli.terminal import app, err
from trimtab.errors import TrimtabError

__all__ = ["agree", "app", "audit", "kinds", "labels", "main", "results", "studies"]


def main() -> None:
    """The command. What Trimtab foresees is printed without a traceback and exits with 1; a stop by hand with 130."""
    sys.path.append(str(Path.cwd()))  # so that `kind: "my_module:Mine"` finds a file in the working folder
    try:
        app()
    except TrimtabError as error:
        err.print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("\nstopped; the same command goes on from here", highlight=False)
        sys.exit(130)
