"""The command itself, and its two streams: results go to one, messages to the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="trimtab",
    help="Align a strong language model with a weak one's feedback.\n\nStart with: trimtab quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console()
err = Console(stderr=True)


def _print_version(asked: bool) -> None:
    if asked:
        echo(f"trimtab {version('trimtab')}")
        raise typer.Exit


@app.callback()
def _root_command(
    shown: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    del shown


def echo(text: str) -> None:
    """A result in plain words: never colored, never wrapped, and brackets in it are brackets."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def stage_progress_callback() -> Callable[[int, int, str], None]:
    """What tells of each stage as it begins, with the time since now."""
    start = time.monotonic()

    def began(place: int, total: int, name: str) -> None:
        passed = format_elapsed(time.monotonic() - start)
        err.print(f"[{passed}] {place} of {total}: {name}", highlight=False, markup=False)

    return began


def format_elapsed(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
