"""The command that checks this machine, the installation, and what a study needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.options import Device, Overrides, RunOutputFolder, SharedFolder, VariantNames
from trimtab.cli.runtime import build_runtime
from trimtab.cli.terminal import app, echo, out
from trimtab.errors import TrimtabError

StudyToCheck = Annotated[
    Path | None,
    typer.Argument(metavar="STUDY.yaml", help="A study to check.  [default: none]", show_default=False),
]


@app.command()
def doctor(
    study: StudyToCheck = None,
    overrides: Overrides = None,
    out_dir: RunOutputFolder = None,
    variant: VariantNames = None,
    store: SharedFolder = None,
    device: Device = "auto",
) -> None:
    """Check this machine and what a study is missing.

    Shows versions, devices, threads, memory, disks, caches and extras; for a study its models, data, keys and servers. Trains,
    downloads and writes nothing. Exits with status 1 if the study cannot run here; each problem is one line with its remedy.

    For example: trimtab doctor study.yaml
    """
    from trimtab.workflows.doctor.findings import Findings
    from trimtab.workflows.doctor.installation import list_extras, list_versions
    from trimtab.workflows.doctor.machine import describe_machine
    from trimtab.workflows.doctor.terminal import render_findings

    found = Findings((list_versions(),)) + describe_machine(out_dir or Path("runs")) + Findings((list_extras(),))
    out.print(render_findings(found))
    problems = list(found.problems)
    if study is not None and not problems:
        problems += _check_study_file(study, overrides or [], out_dir, variant or [], store, device)
    _print_problems(list(dict.fromkeys(problems)), study)


def _check_study_file(
    study: Path, overrides: list[str], out_dir: Path | None, variants: list[str], store: Path | None, device: str
) -> list[str]:
    """Prints what each study of the file needs. Returns the problems."""
    from trimtab.workflows.doctor.study_needs import check_study_runs
    from trimtab.workflows.doctor.terminal import render_findings
    from trimtab.workflows.study_runs import list_study_runs

    try:
        runs = list_study_runs(study, overrides, variants, out_dir, store)
    except TrimtabError as error:
        return str(error).splitlines()
    found = check_study_runs(runs, build_runtime(device))
    out.print(render_findings(found))
    return list(found.problems)


def _print_problems(problems: list[str], study: Path | None) -> None:
    subject = "this installation" if study is None else str(study)
    if not problems:
        echo(f"no problems: {subject} can be used here")
        return
    echo(f"{len(problems)} problem{'s' * (len(problems) > 1)}: {subject} cannot run here")
    for problem in problems:
        echo(f"- {problem}")
    raise typer.Exit(1)
