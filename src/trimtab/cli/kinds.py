"""The command that lists what ships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from trimtab.cli.terminal import app, echo, out


@app.command("list")
def list_components(
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
    from trimtab.cli.catalog import describe_catalog_entry, list_catalog

    if name is None:
        _print_rows(("name", "what it is", "settings"), list_catalog(what))
        return
    found = describe_catalog_entry(what, name)
    echo(f"{found.name}\n\n{found.text.rstrip()}")
    if found.settings:
        echo("")
        rows = [(each.name, each.default, each.accepted_values, each.description) for each in found.settings]
        _print_rows(("setting", "default", "accepts", "meaning"), rows)


def _print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
