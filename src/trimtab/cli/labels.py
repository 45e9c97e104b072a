"""Commands about labels alone, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import Budget, Device
from trimtab.cli.machine import runtime_of
from trimtab.cli.terminal import app, say


@app.command()
def annotate(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="A file of pairs, a folder or a pattern: jsonl, json, csv or parquet.",
            show_default=False,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Settings of the annotator, such as beta=0.5.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--with", metavar="KIND", help="Which annotator; trimtab list annotators shows them.")
    ] = "implicit_reward",
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="DIR", help="A finished run: @weak is its weak model, @weak.sft that model before DPO."
        ),
    ] = None,
    to: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where labels go: a .parquet, .jsonl or .csv file.")
    ] = Path("labels.parquet"),
    device: Device = "auto",
    token_budget: Budget = 1024,
) -> None:
    """Label the pairs in a file, without a study.

    Writes one row a pair: its id, p_a, the probability that its response a is the better, the margin and the status.

    For example: trimtab annotate pairs.jsonl --run runs/quickstart
    """
    from trimtab.labeling import label_file

    told = label_file(pairs, kind, settings or (), run_dir, to, runtime_of(device, token_budget, ()))
    say(f"{told}\n{to}")
