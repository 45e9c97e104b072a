"""The command that labels pairs without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.completion import complete_kinds, complete_run_folders, complete_words
from trimtab.cli.options import AnnotatorKind, AnnotatorSettings, DataSettings, Device, MaxLength, TokenBudget
from trimtab.cli.runtime import build_runtime
from trimtab.cli.terminal import app, echo
from trimtab.errors import StudyError

PairsToLabel = Annotated[
    Path,
    typer.Argument(
        metavar="PAIRS", help="A file of pairs, a folder or a pattern: jsonl, json, csv or parquet.", show_default=False
    ),
]
PairLimit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Label a random sample of N of the pairs.")
]
ModelsFrom = Annotated[
    Path | None,
    typer.Option(
        "--models-from",
        metavar="DIR",
        help="A finished run whose models the annotator can use: @weak, @weak.preference_model, @student, "
        "@ARM.preference_model.",
        autocompletion=complete_run_folders,
    ),
]
TrainingFile = Annotated[
    Path | None,
    typer.Option("--train-on", metavar="FILE", help="Labeled pairs, for annotators that learn: probe, reward_model."),
]
TrainingLimit = Annotated[
    int | None,
    typer.Option("--max-train-pairs", metavar="N", min=1, help="Train on a random sample of N of them."),
]
LabelOutput = Annotated[Path, typer.Option("--out", metavar="FILE", help="The label file: .parquet, .jsonl or .csv.")]
LabelFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="rows: your rows with their labels. trl: chosen and rejected responses, to train on. ids: labels by pair id.",
        autocompletion=complete_words("rows", "trl", "ids"),
    ),
]
FilterOption = Annotated[
    str,
    typer.Option(
        "--filter",
        metavar="KIND",
        help="Which labels to keep: a filter, or {kind: KIND, SETTING: VALUE}.",
        autocompletion=complete_kinds("filters"),
    ),
]


@app.command()
def annotate(
    pairs: PairsToLabel,
    kind: AnnotatorKind = "implicit_reward",
    settings: AnnotatorSettings = None,
    data: DataSettings = None,
    limit: PairLimit = None,
    models_from: ModelsFrom = None,
    train_on: TrainingFile = None,
    max_train_pairs: TrainingLimit = None,
    output: LabelOutput = Path("labels.parquet"),
    label_format: LabelFormat = "rows",
    filter_by: FilterOption = "",
    max_length: MaxLength = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
) -> None:
    """Label the pairs in a file, without a study.

    Writes your rows in their order, with all their columns, and adds the column of the preferred response, its probability,
    the status, and details of how the label was made. To resume, run the same command again.

    For example: trimtab annotate pairs.jsonl --models-from runs/quickstart

    Or: trimtab annotate pairs.jsonl --annotator probe --train-on labeled.jsonl

    Or: trimtab annotate pairs.jsonl --annotator seam --models-from runs/seam --filter information
    """
    from trimtab.workflows.annotate_file import annotate_file
    from trimtab.workflows.annotate_pairs import TrainingPairs
    from trimtab.workflows.pair_files import build_pair_file, parse_data_settings

    if max_train_pairs is not None and train_on is None:
        raise StudyError("--max-train-pairs: requires --train-on FILE")
    if max_length is not None and train_on is None:
        raise StudyError("--max-length: requires --train-on FILE; other annotators have no length limit here")
    data_settings = parse_data_settings(data or ())
    training_pairs = None
    if train_on is not None:
        training_pairs = TrainingPairs(build_pair_file(train_on, data_settings, max_train_pairs), max_length)
    runtime = build_runtime(device, token_budget)
    summary = annotate_file(
        pairs,
        kind,
        settings or (),
        models_from,
        output,
        runtime,
        training_pairs,
        filter_by,
        data_settings,
        label_format,
        limit,
    )
    echo(f"{summary}\n{output}")
