"""The command that lists what ships."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from trimtab.cli.terminal import app, out


@app.command("list")
def list_kinds(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="annotators, filters, engines, sources, scorers, judges, models, losses or studies."
        ),
    ] = "annotators",
) -> None:
    """List what ships, with its settings and their defaults.

    All but models, losses and studies are named in a study by `kind:`; … stands for a setting that must be given.
    """
    from trimtab.catalog import catalog

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "what it is", "settings"):
        table.add_column(heading, overflow="fold")
    for name, meaning, settings in catalog(what):
        table.add_row(*map(Text, (name, meaning, settings)))
    out.print(table)
