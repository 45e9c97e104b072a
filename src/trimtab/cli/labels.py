"""Commands about labels alone, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import AnnotatorSettings, Device, MaxLength, TokenBudget
from trimtab.cli.machine import build_runtime
from trimtab.cli.terminal import app, echo
from trimtab.errors import StudyError

ModelsFrom = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="A finished run, whose models an annotator may name: @weak, @weak.preference, @student, @ARM.preference.",
    ),
]
FilterOption = Annotated[
    str,
    typer.Option("--filter", metavar="KIND", help="Which labels are kept: a filter, or {kind: KIND, SETTING: VALUE}."),
]


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
            help="Settings of the annotator, such as beta=0.5; --set says the same.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--with", metavar="KIND", help="Which annotator; trimtab list annotators shows them.")
    ] = "implicit_reward",
    models_from: ModelsFrom = None,
    train_on: Annotated[
        Path | None,
        typer.Option("--fit", metavar="FILE", help="Labeled pairs, for an annotator that learns: probe, reward_model."),
    ] = None,
    max_train_pairs: Annotated[
        int | None, typer.Option("--fit-limit", metavar="N", min=1, help="Learn from a sample of N of them.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where labels go: a .parquet, .jsonl or .csv file.")
    ] = Path("labels.parquet"),
    filter_by: FilterOption = "",
    more: AnnotatorSettings = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
) -> None:
    """Label the pairs in a file, without a study.

    Writes one row a pair: its id, p_a, the probability that its response a is the better, the margin, the status, and what
    there is to tell of how the label came about. Where it was stopped, the same command goes on.

    For example: trimtab annotate pairs.jsonl --run runs/quickstart

    Or: trimtab annotate pairs.jsonl --with probe --fit labeled.jsonl

    Or: trimtab annotate pairs.jsonl --with seam --run runs/seam --filter information
    """
    from trimtab.workflows.annotate_file import TrainingPairs, annotate_file

    if max_train_pairs is not None and train_on is None:
        raise StudyError("--fit-limit: it says how many pairs of --fit FILE to learn from, and there is no --fit")
    if max_length is not None and train_on is None:
        raise StudyError("--max-tokens: it is for annotators that learn from --fit FILE, and there is no --fit")
    learned = TrainingPairs(train_on, max_train_pairs, max_length) if train_on else None
    said = [*(settings or ()), *(more or ())]
    told = annotate_file(
        pairs, kind, said, models_from, output, build_runtime(device, token_budget, ()), learned, filter_by
    )
    echo(f"{told}\n{output}")
