"""The Typer application and its two output streams: results and messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from trimtab.core.terminal_text import SafeConsole

app = typer.Typer(
    name="trimtab",
    help="Align a strong language model with a weak one's feedback.\n\nStart with: trimtab quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = SafeConsole()
err = SafeConsole(stderr=True)


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"trimtab {version('trimtab')}")
        raise typer.Exit


@app.callback()
def _root_command(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    del show_version


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
