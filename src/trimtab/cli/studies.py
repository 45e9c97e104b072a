"""Commands that run a study, or say what it will do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from trimtab.cli.arguments import Budget, Changes, Device, Out, RunsOut, StudyPath, Trainer
from trimtab.cli.machine import runtime_of
from trimtab.cli.terminal import app, err, minutes_told, out, say, stages_told
from trimtab.protocols import Runtime


@app.command()
def quickstart(out_dir: Out = Path("runs/quickstart"), device: Device = "auto", token_budget: Budget = 1024) -> None:
    """Run a whole study on the model and the pairs that ship.

    No hub, no GPU; about four minutes on two cores. Then open report.html in the folder of --out.
    """
    from trimtab.studies import shipped
    from trimtab.study import Study

    _run(Study.parse(shipped("quickstart")), out_dir, runtime_of(device, token_budget, ()))


@app.command()
def run(
    study: StudyPath,
    changes: Changes = None,
    out_dir: RunsOut = None,
    device: Device = "auto",
    token_budget: Budget = 1024,
    trainer: Trainer = None,
) -> None:
    """Run a study, and write report.html and report.json.

    Run it again to go on from where it stopped; what is there already is not made again.
    """
    from trimtab.study import Study

    read = Study.load(study, changes or ())
    _run(read, out_dir or Path("runs") / read.name, runtime_of(device, token_budget, trainer or ()))


@app.command()
def plan(study: StudyPath, changes: Changes = None, out_dir: RunsOut = None) -> None:
    """Show what a study will do, why, and about how long it takes.

    Nothing is run and nothing in the folder changes. Times are taken from what the folder has measured, and from a
    rough rate for two cores where it has measured nothing.
    """
    from trimtab.forecast import about, forecast
    from trimtab.study import Study

    read = Study.load(study, changes or ())
    folder = out_dir or Path("runs") / read.name
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "why", "about"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "about" else "left")
    rows = forecast(read, folder)
    for row in rows:
        table.add_row(*map(Text, (row.stage, row.state, row.why, row.about)))
    out.print(table)
    todo = [row for row in rows if row.state in ("to run", "resume")]
    done = sum(row.state == "done" for row in rows)
    known = [row.seconds for row in todo if row.seconds is not None]
    length = f", {about(sum(known))}" if known else ""
    rest = f", not counting {len(todo) - len(known)} of unknown length" if known and len(known) < len(todo) else ""
    say(f"\n{done} stages are done, {len(todo)} to run{length}{rest}, in {folder}")


def _run(study: Any, folder: Path, runtime: Runtime) -> None:
    from trimtab.run import run as run_study

    err.print(f"{study.name}: results go to {folder}", highlight=False, markup=False, soft_wrap=True)
    outcome = run_study(study, folder, runtime, stages_told())
    if not runtime.leads:
        return
    err.print(
        f"{len(outcome.made)} stages made, {len(outcome.kept)} were there already; {minutes_told(outcome.seconds)}",
        highlight=False,
    )
    reported(folder)


def reported(folder: Path) -> None:
    """Makes the report of a run, and prints its tables."""
    from trimtab.report.remake import remake
    from trimtab.report.tables import summary

    out.print(summary(remake(folder)))
    say(f"\n{folder / 'report.html'}")
