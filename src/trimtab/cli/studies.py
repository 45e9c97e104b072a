"""Commands that run a study, or say what it will do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from trimtab.cli.arguments import (
    Device,
    OutputFolder,
    Overrides,
    RunOutputFolder,
    StudyPath,
    TokenBudget,
    TrainerArguments,
)
from trimtab.cli.machine import build_runtime
from trimtab.cli.terminal import app, echo, err, format_elapsed, out, stage_progress_callback
from trimtab.core.runtime import Runtime


@app.command()
def quickstart(
    out_dir: OutputFolder = Path("runs/quickstart"), device: Device = "auto", token_budget: TokenBudget = 1024
) -> None:
    """Run a whole study on the model and the pairs that ship.

    No hub, no GPU; about four minutes on two cores. Then open report.html in the folder of --out.
    """
    from trimtab.config.presets import load_preset
    from trimtab.config.study import Study

    _run_study(Study.parse(load_preset("quickstart")), out_dir, build_runtime(device, token_budget, ()))


@app.command()
def run(
    study: StudyPath,
    changes: Overrides = None,
    out_dir: RunOutputFolder = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
    trainer: TrainerArguments = None,
) -> None:
    """Run a study, and write report.html and report.json.

    Run it again to go on from where it stopped; what is there already is not made again.
    """
    from trimtab.config.study import Study

    read = Study.load(study, changes or ())
    _run_study(read, out_dir or Path("runs") / read.name, build_runtime(device, token_budget, trainer or ()))


@app.command()
def plan(study: StudyPath, changes: Overrides = None, out_dir: RunOutputFolder = None) -> None:
    """Show what a study will do, why, and about how long it takes.

    Nothing is run and nothing in the folder changes. Times are taken from what the folder has measured, and from a
    rough rate for two cores where it has measured nothing.
    """
    from trimtab.config.study import Study
    from trimtab.pipeline.dry_run import format_estimate, plan_dry_run

    read = Study.load(study, changes or ())
    folder = out_dir or Path("runs") / read.name
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "why", "about"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "about" else "left")
    rows = plan_dry_run(read, folder)
    for row in rows:
        table.add_row(*map(Text, (row.stage, row.state, row.reason, row.duration)))
    out.print(table)
    todo = [row for row in rows if row.state in ("to run", "resume")]
    done = sum(row.state == "done" for row in rows)
    known = [row.seconds for row in todo if row.seconds is not None]
    length = f", {format_estimate(sum(known))}" if known else ""
    rest = f", not counting {len(todo) - len(known)} of unknown length" if known and len(known) < len(todo) else ""
    echo(f"\n{done} stages are done, {len(todo)} to run{length}{rest}, in {folder}")


def _run_study(study: Any, folder: Path, runtime: Runtime) -> None:
    from trimtab.pipeline.executor import run_study

    err.print(f"{study.name}: results go to {folder}", highlight=False, markup=False, soft_wrap=True)
    outcome = run_study(study, folder, runtime, stage_progress_callback())
    if not runtime.is_main_process:
        return
    err.print(
        f"{len(outcome.created)} stages made, {len(outcome.reused)} were there already; {format_elapsed(outcome.seconds)}",
        highlight=False,
    )
    write_and_print_report(folder)


def write_and_print_report(folder: Path) -> None:
    """Makes the report of a run, and prints its tables."""
    from trimtab.report.terminal.tables import render_report_summary
    from trimtab.report.write_report import write_report

    out.print(render_report_summary(write_report(folder)))
    echo(f"\n{folder / 'report.html'}")
