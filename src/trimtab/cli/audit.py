"""The command that says whether an annotator is worth its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import Budget, Device, MaxTokens, Set
from trimtab.cli.machine import runtime_of
from trimtab.cli.terminal import app, out, say, stages_told

Labeled = Annotated[
    Path,
    typer.Argument(metavar="LABELED", help="A file of pairs that people labeled.", show_default=False),
]
Kind = Annotated[
    str, typer.Option("--with", metavar="KIND", help="Which annotator; trimtab list annotators shows them.")
]
Fit = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Learn from these labeled pairs and measure on LABELED, instead of cross-fitting."
    ),
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Learn from a sample of N of the pairs of --fit.")]
Most = Annotated[int | None, typer.Option(metavar="N", min=1, help="Measure on a sample of N of the pairs of LABELED.")]
Pool = Annotated[
    Path | None,
    typer.Option("--unlabeled", metavar="PAIRS", help="The pairs to be labeled: how right would their labels be?"),
]
Strong = Annotated[
    str | None, typer.Option(metavar="MODEL", help="A strong model to ask, untrained, about 200 of the pairs.")
]
Of = Annotated[
    Path | None,
    typer.Option("--study", metavar="STUDY.yaml", help="The study whose weak model is audited, trained as it says."),
]
Curve = Annotated[
    bool | None,
    typer.Option(help="The learning curve.  [default: where its points cost no training]", show_default=False),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Where all figures go as JSON.")]
Folder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the work is kept; run again to go on.")]


@app.command()
def audit(
    labeled: Labeled,
    kind: Kind = "probe",
    settings: Set = None,
    fit: Fit = None,
    fit_limit: Limit = None,
    limit: Most = None,
    unlabeled: Pool = None,
    strong: Strong = None,
    study: Of = None,
    curve: Curve = None,
    max_tokens: MaxTokens = None,
    json_file: Json = None,
    folder: Folder = Path("runs/audit"),
    device: Device = "auto",
    token_budget: Budget = 1024,
) -> None:
    """Say whether an annotator is worth its labels, before training.

    Measured on pairs that people labeled and that the annotator did not learn from.

    For example: trimtab audit labeled.jsonl --with probe --unlabeled pool.jsonl
    """
    import json

    from trimtab.audit import audit as audited
    from trimtab.audit.asked import Asked
    from trimtab.audit.told import told
    from trimtab.components import build_said
    from trimtab.store import hand_out
    from trimtab.study import Study

    asked = Asked(
        labeled=labeled,
        kind=kind,
        annotator=build_said("annotators", kind, settings or ()),
        fit=fit,
        fit_limit=fit_limit,
        limit=limit,
        pool=unlabeled,
        strong=strong,
        of=Study.load(study) if study else None,
        curve=curve,
        max_tokens=max_tokens,
    )
    found = audited(asked, folder, runtime_of(device, token_budget, ()), stages_told())
    out.print(told(found))
    if json_file is not None:
        hand_out(json_file, json.dumps(found.to_json(), indent=1))
        say(f"\n{json_file}")
