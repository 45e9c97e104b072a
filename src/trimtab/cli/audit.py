"""The command that says whether an annotator is worth its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import AnnotatorSettings, Device, MaxLength, TokenBudget
from trimtab.cli.machine import build_runtime
from trimtab.cli.terminal import app, echo, out, stage_progress_callback

LabeledFile = Annotated[
    Path,
    typer.Argument(metavar="LABELED", help="A file of pairs that people labeled.", show_default=False),
]
AnnotatorKind = Annotated[
    str, typer.Option("--with", metavar="KIND", help="Which annotator; trimtab list annotators shows them.")
]
TrainOn = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Learn from these labeled pairs and measure on LABELED, instead of cross-fitting."
    ),
]
MaxTrainPairs = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Learn from a sample of N of the pairs of --fit.")
]
MaxPairs = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Measure on a sample of N of the pairs of LABELED.")
]
UnlabeledFile = Annotated[
    Path | None,
    typer.Option("--unlabeled", metavar="PAIRS", help="The pairs to be labeled: how right would their labels be?"),
]
ReferenceModel = Annotated[
    str | None, typer.Option(metavar="MODEL", help="A strong model to ask, untrained, about 200 of the pairs.")
]
SourceStudy = Annotated[
    Path | None,
    typer.Option("--study", metavar="STUDY.yaml", help="The study whose weak model is audited, trained as it says."),
]
LearningCurve = Annotated[
    bool | None,
    typer.Option(help="The learning curve.  [default: where its points cost no training]", show_default=False),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Where all figures go as JSON.")]
WorkFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the work is kept; run again to go on.")]


@app.command()
def audit(
    labeled: LabeledFile,
    kind: AnnotatorKind = "probe",
    settings: AnnotatorSettings = None,
    train_on: TrainOn = None,
    max_train_pairs: MaxTrainPairs = None,
    limit: MaxPairs = None,
    unlabeled: UnlabeledFile = None,
    reference_model: ReferenceModel = None,
    study: SourceStudy = None,
    curve: LearningCurve = None,
    max_length: MaxLength = None,
    json_file: JsonFile = None,
    folder: WorkFolder = Path("runs/audit"),
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
) -> None:
    """Say whether an annotator is worth its labels, before training.

    Measured on pairs that people labeled and that the annotator did not learn from.

    For example: trimtab audit labeled.jsonl --with probe --unlabeled pool.jsonl
    """
    import json

    from trimtab.config.study import Study
    from trimtab.core.component import build_component_from_options
    from trimtab.storage.atomic import write_output
    from trimtab.workflows.audit import run_audit as audited
    from trimtab.workflows.audit.request import AuditRequest
    from trimtab.workflows.audit.terminal import render_audit

    asked = AuditRequest(
        labeled=labeled,
        kind=kind,
        annotator=build_component_from_options("annotators", kind, settings or ()),
        train_on=train_on,
        max_train_pairs=max_train_pairs,
        max_pairs=limit,
        unlabeled=unlabeled,
        reference_model=reference_model,
        source_study=Study.load(study) if study else None,
        learning_curve=curve,
        max_length=max_length,
    )
    found = audited(asked, folder, build_runtime(device, token_budget, ()), stage_progress_callback())
    out.print(render_audit(found))
    if json_file is not None:
        write_output(json_file, json.dumps(found.to_json(), indent=1))
        echo(f"\n{json_file}")
