"""The command that compares two sources of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.options import DataSettings
from trimtab.cli.terminal import app, out
from trimtab.errors import StudyError


@app.command("compare-labels")
def compare_labels_command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A label file, an arm of a finished run as DIR:ARM, or human for the pairs' human labels.",
            show_default=False,
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Same as A.", show_default=False)],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Agreement in four bins of A's confidence, of the difference in response length, or of the difference in "
            "gold reward: confidence, length or gold.",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The pairs that were labeled.  [default: the unlabeled pairs of the given runs]",
        ),
    ] = None,
    data: DataSettings = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all metrics as JSON.")
    ] = None,
) -> None:
    """Compare two sources of labels.

    Reports agreement and kappa, and the length, confidence, accuracy and gold reward of both groups of pairs.

    For example: trimtab compare-labels labels.parquet runs/quickstart:human
    """
    from trimtab.report.label_comparison.metrics import compare_label_sources
    from trimtab.report.label_comparison.terminal import render_label_comparison
    from trimtab.workflows.pair_files import build_pair_file, parse_data_settings

    if data and pairs is None:
        raise StudyError("--data: requires --pairs FILE")
    pair_file = None if pairs is None else build_pair_file(pairs, parse_data_settings(data or ()))
    out.print(render_label_comparison(compare_label_sources(a, b, by, pair_file, json_file)))
