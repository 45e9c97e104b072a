"""Commands about labels alone, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import Budget, Device, MaxTokens, Set
from trimtab.cli.machine import runtime_of
from trimtab.cli.terminal import app, say
from trimtab.errors import StudyError

Lends = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="A finished run, whose models an annotator may name: @weak, @weak.preference, @student, @ARM.preference.",
    ),
]
Filters = Annotated[
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
    run_dir: Lends = None,
    fit: Annotated[
        Path | None,
        typer.Option("--fit", metavar="FILE", help="Labeled pairs, for an annotator that learns: probe, reward_model."),
    ] = None,
    fit_limit: Annotated[
        int | None, typer.Option("--fit-limit", metavar="N", min=1, help="Learn from a sample of N of them.")
    ] = None,
    to: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where labels go: a .parquet, .jsonl or .csv file.")
    ] = Path("labels.parquet"),
    filter_by: Filters = "",
    more: Set = None,
    max_tokens: MaxTokens = None,
    device: Device = "auto",
    token_budget: Budget = 1024,
) -> None:
    """Label the pairs in a file, without a study.

    Writes one row a pair: its id, p_a, the probability that its response a is the better, the margin, the status, and what
    there is to tell of how the label came about. Where it was stopped, the same command goes on.

    For example: trimtab annotate pairs.jsonl --run runs/quickstart

    Or: trimtab annotate pairs.jsonl --with probe --fit labeled.jsonl

    Or: trimtab annotate pairs.jsonl --with seam --run runs/seam --filter information
    """
    from trimtab.labeling import Fit, label_file

    if fit_limit is not None and fit is None:
        raise StudyError("--fit-limit: it says how many pairs of --fit FILE to learn from, and there is no --fit")
    if max_tokens is not None and fit is None:
        raise StudyError("--max-tokens: it is for annotators that learn from --fit FILE, and there is no --fit")
    learned = Fit(fit, fit_limit, max_tokens) if fit else None
    said = [*(settings or ()), *(more or ())]
    told = label_file(pairs, kind, said, run_dir, to, runtime_of(device, token_budget, ()), learned, filter_by)
    say(f"{told}\n{to}")
