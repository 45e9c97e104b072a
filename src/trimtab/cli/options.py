"""Arguments and options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.completion import complete_kinds, complete_run_folders, complete_variants, complete_words

MAX_WORKERS = 64

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A study, in YAML.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings that override those in the file, such as training.dpo.beta=0.05 or models.weak.layers=10.",
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The folder of a run.", show_default=False, autocompletion=complete_run_folders),
]
OutputFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for results; run again with the same folder to resume.")
]
RunOutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for results; run again with the same folder to resume.  [default: runs/ and the study's name]",
    ),
]
VariantNames = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="Only this variant of the study; repeatable.  [default: all]",
        autocompletion=complete_variants,
    ),
]
SharedFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Folder of stages that several runs share, so that each is computed once.  [default: .store in the folder given "
        "by --out for a study with variants, else none]",
    ),
]
AnnotatorKind = Annotated[
    str,
    typer.Option(
        "--annotator",
        metavar="KIND",
        help="The annotator; see trimtab list annotators.",
        autocompletion=complete_kinds("annotators"),
    ),
]
AnnotatorSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the annotator, such as beta=0.5 or training.num_train_epochs=1; repeatable.",
    ),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="KEY=VALUE",
        help="How to read the files, such as columns.prompt=question, label_values.1=a, layout=implicit or "
        "rating_column=score; repeatable.",
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        metavar="N",
        min=8,
        help="Skip pairs whose prompt and longer response have more tokens.  [default: 512]",
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="cpu, cuda, cuda:1, mps, or auto for the best available device.",
        autocompletion=complete_words("auto", "cpu", "cuda", "mps"),
    ),
]
TokenBudget = Annotated[
    int,
    typer.Option(
        "--token-budget",
        metavar="N",
        min=64,
        help="Tokens in one forward pass: fewer use less memory, more are faster.",
    ),
]
_WORKERS_HELP = (
    "Processes that execute independent stages at the same time. On a CPU they share the cores, and each needs memory for its "
    "own model; GPUs are taken in turn."
)
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=MAX_WORKERS,
        help=f"{_WORKERS_HELP}  [default: 1; with --ray, as many as the cluster has room for]",
        show_default=False,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Execute stages on the nodes of a Ray cluster too, with --workers actors: auto, or HOST:PORT of its head. All "
        "nodes need the run folder, the working directory and the same version of Trimtab.",
    ),
]
Shard = Annotated[
    bool,
    typer.Option(
        "--shard",
        help="Divide the frozen weights of LoRA trainings among the processes of torchrun, which saves memory.",
        show_default=False,
    ),
]
QuickstartWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=MAX_WORKERS,
        help=f"{_WORKERS_HELP}  [default: 2 on a CPU with two or more cores, else 1]",
        show_default=False,
    ),
]
TrainerArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--trainer",
        metavar="KEY=VALUE",
        help="Passed to transformers.TrainingArguments, such as report_to=wandb; repeatable.",
    ),
]
