"""The command that sets two sources of labels side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.terminal import app, out


@app.command()
def compare_labels(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A file of labels, an arm of a finished run as DIR:ARM, or human: the pairs' human labels.",
            show_default=False,
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The same.", show_default=False)],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Agreement in four bins of A's confidence, of how far apart the responses are in length, or in gold reward: "
            "confidence, length or gold.",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The pairs that were labeled.  [default: the unlabeled pairs of the runs that are named]",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Where every figure goes, for programs.")
    ] = None,
) -> None:
    """Compare two sources of labels, where they match and where not.

    Tells agreement, kappa, and length, confidence, accuracy and gold reward of either set of pairs.

    For example: trimtab agree labels.parquet runs/quickstart:human
    """
    from trimtab.report.label_comparison.metrics import compare_label_sources
    from trimtab.report.label_comparison.terminal import render_label_comparison

    out.print(render_label_comparison(compare_label_sources(a, b, by, pairs, json_file)))
