"""The command that lists built-in components, models, losses and studies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from trimtab.cli.column_widths import compute_column_widths
from trimtab.cli.completion import complete_catalog_names, complete_words
from trimtab.cli.terminal import app, echo, out

_GAP = 2  # spaces after each column


@app.command("list")
def list_command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="annotators, filters, engines, sources, scorers, judges, models, losses or studies.",
            autocompletion=complete_words(
                "annotators", "filters", "engines", "sources", "scorers", "judges", "models", "losses", "studies"
            ),
        ),
    ] = "annotators",
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Describe one of them, with all its settings.",
            show_default=False,
            autocompletion=complete_catalog_names,
        ),
    ] = None,
) -> None:
    """List built-in components with their settings and defaults.

    In a study, components other than models, losses and studies are selected with `kind:`; … marks a required setting.

    For example: trimtab list annotators seam
    """
    from trimtab.cli.catalog import describe_catalog_entry, list_catalog

    if name is None:
        _print_rows(("name", "description", "settings"), list_catalog(what))
        return
    details = describe_catalog_entry(what, name)
    # The text of a study has nothing above it, so that it can be redirected to a file.
    echo(details.text.rstrip() if what == "studies" else f"{details.name}\n\n{details.text.rstrip()}")
    if details.settings:
        echo("")
        rows = [(each.name, each.default, each.accepted_values, each.description) for each in details.settings]
        _print_rows(("setting", "default", "accepted values", "description"), rows)


def _print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    rows = list(rows)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    widths = compute_column_widths([headings, *rows], out.width - _GAP * len(headings))
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
