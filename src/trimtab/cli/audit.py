"""The command that estimates an annotator's label quality before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.options import AnnotatorKind, AnnotatorSettings, DataSettings, Device, MaxLength, TokenBudget
from trimtab.cli.runtime import build_runtime
from trimtab.cli.terminal import app, echo, err, out, stage_progress_callback

if TYPE_CHECKING:
    from trimtab.workflows.audit.request import AuditRequest

LabeledPairs = Annotated[
    Path,
    typer.Argument(metavar="LABELED", help="A file of pairs with human labels.", show_default=False),
]
TrainOn = Annotated[
    Path | None,
    typer.Option(
        "--train-on",
        metavar="FILE",
        help="Train on these labeled pairs and evaluate on LABELED; default: cross-fitting.",
    ),
]
MaxTrainPairs = Annotated[
    int | None,
    typer.Option("--max-train-pairs", metavar="N", min=1, help="Train on a random sample of N of those pairs."),
]
MaxPairs = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Evaluate on a random sample of N pairs of LABELED.")
]
UnlabeledFile = Annotated[
    Path | None,
    typer.Option("--unlabeled", metavar="PAIRS", help="Pairs to be labeled: estimate the accuracy of their labels."),
]
MaxUnlabeled = Annotated[
    int | None,
    typer.Option("--max-unlabeled", metavar="N", min=1, help="Label a random sample of N of the unlabeled pairs."),
]
ReferenceModel = Annotated[
    str | None,
    typer.Option(
        "--reference-model", metavar="MODEL", help="A strong model to prompt, without training, on 200 of the pairs."
    ),
]
SourceStudy = Annotated[
    Path | None,
    typer.Option("--study", metavar="STUDY.yaml", help="A study whose weak model and training are audited."),
]
LearningCurve = Annotated[
    bool | None,
    typer.Option(
        "--learning-curve/--no-learning-curve",
        help="Compute the learning curve.  [default: if its points need no training]",
        show_default=False,
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write all metrics as JSON.")]
WorkFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for intermediate results; run again to resume.")
]


@app.command()
def audit(
    labeled: LabeledPairs,
    kind: AnnotatorKind = "probe",
    settings: AnnotatorSettings = None,
    data: DataSettings = None,
    train_on: TrainOn = None,
    max_train_pairs: MaxTrainPairs = None,
    limit: MaxPairs = None,
    unlabeled: UnlabeledFile = None,
    max_unlabeled: MaxUnlabeled = None,
    reference_model: ReferenceModel = None,
    study: SourceStudy = None,
    learning_curve: LearningCurve = None,
    max_length: MaxLength = None,
    json_file: JsonFile = None,
    folder: WorkFolder = Path("runs/audit"),
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
) -> None:
    """Estimate an annotator's label quality before training.

    Evaluates the annotator on pairs with human labels that it was not trained on.

    For example: trimtab audit labeled.jsonl --annotator probe --unlabeled pool.jsonl
    """
    import json

    from trimtab.config.study import Study
    from trimtab.core.component import build_component_from_options
    from trimtab.storage.atomic import write_output
    from trimtab.workflows.audit import run_audit
    from trimtab.workflows.audit.next_step import build_next_step
    from trimtab.workflows.audit.request import AuditRequest
    from trimtab.workflows.audit.terminal import render_audit
    from trimtab.workflows.pair_files import parse_data_settings

    request = AuditRequest(
        labeled=labeled,
        kind=kind,
        annotator=build_component_from_options("annotators", kind, settings or ()),
        train_on=train_on,
        max_train_pairs=max_train_pairs,
        max_pairs=limit,
        unlabeled=unlabeled,
        max_unlabeled=max_unlabeled,
        reference_model=reference_model,
        source_study=Study.load(study) if study else None,
        learning_curve=learning_curve,
        max_length=max_length,
        data_settings=parse_data_settings(data or ()),
    )
    _announce_audit(request, folder)
    result = run_audit(request, folder, build_runtime(device, token_budget), stage_progress_callback())
    out.print(render_audit(result))
    metrics = (result.agreement, result.best_baseline, result.improvement, result.optimal_selection)
    echo(f"\n{build_next_step(request, *metrics)}")
    if json_file is not None:
        write_output(json_file, json.dumps(result.to_json(), indent=1))
        echo(f"\n{json_file}")


def _announce_audit(request: AuditRequest, folder: Path) -> None:
    source = f"the pairs in {request.train_on}" if request.train_on else "the other four fifths of the file"
    err.print(
        f"Auditing {request.kind}: its labels of {request.labeled} are compared with the human labels. An annotator that "
        f"learns is trained on {source}. Intermediate results are in {folder}; if you stop it, run the same command again "
        "to resume.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
