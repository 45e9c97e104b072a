"""The command that lists what ships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from trimtab.cli.terminal import app, out, say


@app.command("list")
def list_kinds(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="annotators, filters, engines, sources, scorers, judges, models, losses or studies."
        ),
    ] = "annotators",
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One of them: all about it, setting by setting.", show_default=False),
    ] = None,
) -> None:
    """List what ships, with its settings and their defaults.

    All but models, losses and studies are named in a study by `kind:`; … stands for a setting that must be given.

    For example: trimtab list annotators seam
    """
    from trimtab.catalog import catalog, described

    if name is None:
        _print_table(("name", "what it is", "settings"), catalog(what))
        return
    found = described(what, name)
    say(f"{found.name}\n\n{found.text.rstrip()}")
    if found.settings:
        say("")
        rows = [(each.name, each.default, each.accepts, each.meaning) for each in found.settings]
        _print_table(("setting", "default", "accepts", "meaning"), rows)


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
