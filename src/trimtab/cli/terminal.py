"""The Typer application and its two output streams: results and messages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from trimtab.core.terminal_text import SafeConsole

app = typer.Typer(
    name="trimtab",
    help="Align a strong language model with a weak one's feedback.\n\nStart with: trimtab quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# A run folder, and the working directory, can be someone else's.
COMMANDS_WITHOUT_CODE = ("label", "report", "compare", "compare-paper", "show", "export", "verify")
out = SafeConsole()
err = SafeConsole(stderr=True)


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"trimtab {version('trimtab')}")
        raise typer.Exit


@app.callback()
def _root_command(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    del show_version
    _set_import_path(context.invoked_subcommand or "")


def _set_import_path(command: str) -> None:
    """Makes `kind: "my_module:MyClass"` find a file in the working directory, except for commands that only read results."""
    try:
        working_directory = str(Path.cwd())
    except OSError:  # it was removed
        return
    sys.path[:] = [path for path in sys.path if path not in ("", working_directory)]
    if command not in COMMANDS_WITHOUT_CODE:
        sys.path.append(working_directory)


def echo(text: str) -> None:
    """Prints a result as plain text: no colors, no wrapping, and brackets are literal."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def stage_progress_callback() -> Callable[[int, int, str], None]:
    """Returns a callback that prints each stage when it starts, with the time since this call."""
    start = time.monotonic()

    def print_stage(index: int, total: int, name: str) -> None:
        elapsed = format_elapsed(time.monotonic() - start)
        err.print(f"[{elapsed}] {index} of {total}: {name}", highlight=False, markup=False)

    return print_stage


def format_elapsed(seconds: float) -> str:
    """`1:05` or `2:01:05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
