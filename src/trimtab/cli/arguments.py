"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A study, in YAML.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings to put over those in the file, such as training.dpo.beta=0.05 or models.weak.layers=10.",
        show_default=False,
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.", show_default=False)]
OutputFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results are kept; run again to go on from there.")
]
RunOutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Where results are kept; run again to go on from there.  [default: runs/ and the study's name]",
    ),
]
AnnotatorSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the annotator, such as rounds=3 or recipe.epochs=1; may be given again.",
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        metavar="N",
        min=8,
        help="Pairs whose prompt and longer response have more tokens are not read.  [default: 512]",
        show_default=False,
    ),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="What computes: cpu, cuda, cuda:1, mps, or auto, the best that is there.")
]
TokenBudget = Annotated[
    int,
    typer.Option(
        "--token-budget",
        metavar="N",
        min=64,
        help="Tokens in one forward pass: fewer take less memory, more are faster.",
    ),
]
TrainerArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--trainer",
        metavar="KEY=VALUE",
        help="Passed on to transformers.TrainingArguments, such as report_to=wandb; may be given again.",
    ),
]
