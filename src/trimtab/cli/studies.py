"""Commands that run a study or show its plan."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.options import (
    DataSettings,
    Device,
    OutputFolder,
    Overrides,
    QuickstartWorkers,
    RayAddress,
    RunOutputFolder,
    Shard,
    SharedFolder,
    StudyPath,
    TokenBudget,
    TrainerArguments,
    VariantNames,
    Workers,
)
from trimtab.cli.runtime import build_runtime, parse_trainer_arguments
from trimtab.cli.terminal import app, echo, err, format_elapsed, out, stage_progress_callback
from trimtab.core.runtime import Runtime
from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.config.study import Study
    from trimtab.workflows.study_plan import StudyPlan
    from trimtab.workflows.study_runs import StudyRun


@app.command()
def quickstart(
    out_dir: OutputFolder = Path("runs/quickstart"),
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
    workers: QuickstartWorkers = None,
) -> None:
    """Run a complete study on the built-in model and pairs.

    Needs no Hub access and no GPU, and takes two and a half to five minutes on two cores. Then open report.html in the
    folder given by --out.
    """
    from trimtab.config.presets import load_preset
    from trimtab.config.study import Study
    from trimtab.pipeline.worker_processes import choose_workers
    from trimtab.workflows.study_runs import StudyRun

    err.print(
        "A small model learns from 208 labeled pairs, labels 160 others, and a larger model is trained on its labels. This "
        "takes two and a half to five minutes on two idle cores. If you stop it, run the same command again to resume.",
        highlight=False,
    )
    runtime = build_runtime(device, token_budget)
    study_run = StudyRun(study=Study.parse(load_preset("quickstart")), folder=out_dir, store=None)
    problems = _run_study(study_run, runtime, workers or choose_workers(runtime))
    if problems:
        raise TrimtabError(problems[0])
    err.print(
        f"\nNext: open {out_dir / 'report.html'} in a browser. `trimtab show {out_dir}` lists pairs and their labels. For "
        "your own pairs: trimtab new study.yaml PAIRS",
        highlight=False,
        markup=False,
    )


@app.command("new")
def new_command(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="The file to write; it must not exist.", show_default=False)
    ],
    pairs: Annotated[
        Path | None,
        typer.Argument(metavar="PAIRS", help="Labeled pairs.  [default: the built-in pairs]", show_default=False),
    ] = None,
    data: DataSettings = None,
) -> None:
    """Write a small study that runs without changes.

    The study is small: it gives a first result on two cores. Comments in the file suggest what to change next.

    For example: trimtab new study.yaml pairs.jsonl
    """
    from trimtab.workflows.pair_files import parse_data_settings
    from trimtab.workflows.starter_study import write_starter_study

    summary = write_starter_study(file, pairs, parse_data_settings(data or ()))
    name = shlex.quote(str(file))
    echo(
        f"a study of {summary}\nnext: trimtab plan {name} (what will run, and for how long), then trimtab run {name}\n{file}"
    )


@app.command()
def run(
    study: StudyPath,
    overrides: Overrides = None,
    out_dir: RunOutputFolder = None,
    variant: VariantNames = None,
    store: SharedFolder = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
    workers: Workers = None,
    ray: RayAddress = None,
    shard: Shard = False,
    trainer: TrainerArguments = None,
) -> None:
    """Run a study, and write report.html and report.json.

    Run it again to resume an interrupted run; finished stages are reused. Variants of a study run one after the other, each
    in a folder of its name.
    """
    from trimtab.workflows.study_runs import list_study_runs

    runs = list_study_runs(study, overrides or (), variant or (), out_dir, store)
    runtime = build_runtime(device, token_budget, parse_trainer_arguments(trainer or ()), shard=shard)
    problems = [problem for each in runs for problem in _run_study(each, runtime, workers, ray)]
    if problems:
        raise TrimtabError("\n".join(problems))
    if runtime.is_main_process:
        err.print(
            _describe_next_step([str(each.folder) for each in runs]), highlight=False, markup=False, soft_wrap=True
        )


@app.command()
def plan(
    study: StudyPath,
    overrides: Overrides = None,
    out_dir: RunOutputFolder = None,
    variant: VariantNames = None,
    store: SharedFolder = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
    trainer: TrainerArguments = None,
) -> None:
    """Show what a study will do, and estimate its time and memory.

    Runs nothing and does not change the folder. Times are estimated from stages that ran in this folder or in the shared
    store, or else from a typical rate for two cores. Options of `trimtab run` are checked and repeated in the next command.
    """
    from trimtab.pipeline.preflight import preflight_trainer_arguments
    from trimtab.workflows.study_plan import StudyPlan, summarize_plans
    from trimtab.workflows.study_runs import list_study_runs

    preflight_trainer_arguments(build_runtime("cpu", trainer_arguments=parse_trainer_arguments(trainer or ())))
    plans: list[StudyPlan] = []
    for each in list_study_runs(study, overrides or (), variant or (), out_dir, store):
        plans.append(StudyPlan.of_study(each.study, each.folder, each.store, plans))
        out.print(plans[-1].render())
        echo(f"\n{plans[-1].summary}\n")
        if any(stage.training for stage in plans[-1].to_run):
            _print_memory(each.study, plans[-1], build_runtime(device, token_budget))
    if len(plans) > 1:
        echo(summarize_plans(plans))
    if any(each.to_run for each in plans):
        options = [
            ("--out", out_dir),
            *(("--variant", name) for name in variant or ()),
            ("--store", store),
            ("--device", device if device != "auto" else None),
            ("--token-budget", token_budget if token_budget != 1024 else None),
            *(("--trainer", argument) for argument in trainer or ()),
        ]
        given = [part for option, value in options if value is not None for part in (option, str(value))]
        err.print(
            f"next: {shlex.join(['trimtab', 'run', str(study), *(overrides or ()), *given])}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _print_memory(study: Study, plan: StudyPlan, runtime: Runtime) -> None:
    from trimtab.workflows.training_memory import describe_training_memory

    memory = describe_training_memory(study, plan.to_run, runtime)
    for names, description in memory.items():
        echo(f"memory of {names}: {description}")
    if memory:
        echo("")


def _run_study(planned: StudyRun, runtime: Runtime, workers: int | None, ray_address: str | None = None) -> list[str]:
    """Runs one study and writes its report. Returns what failed without stopping the run."""
    from trimtab.pipeline.executor import run_study
    from trimtab.storage.shared_store import SharedStore

    study, folder = planned.study, planned.folder
    err.print(f"{study.name}: results in {folder}", highlight=False, markup=False, soft_wrap=True)
    shared = None if planned.store is None else SharedStore(planned.store)
    result = run_study(study, folder, runtime, stage_progress_callback(), shared, workers, ray_address)
    if not runtime.is_main_process:
        return []
    err.print(
        f"{len(result.created)} stages run, {len(result.reused)} reused; {format_elapsed(result.seconds)}",
        highlight=False,
    )
    write_and_print_report(folder)
    if not result.failed_stages:
        return []
    return [
        f"{folder}: {len(result.failed_stages)} stages failed: {', '.join(result.failed_stages)}. Everything that does not "
        "need them is finished, and the report is written without them; the same command tries only these again"
    ]


def _describe_next_step(folders: list[str]) -> str:
    """What to do with finished runs."""
    if len(folders) > 1:
        return f"\nnext: {shlex.join(['trimtab', 'compare', *folders])}"
    (folder,) = map(shlex.quote, folders)
    return (
        f"\nnext: open the report in a browser. `trimtab show {folder}` lists pairs and their labels; `trimtab export {folder} "
        "--arm ARM` writes an arm's labels for TRL, and with --format model its student."
    )


def write_and_print_report(folder: Path) -> None:
    """Writes the report of a run and prints its tables."""
    from trimtab.report.terminal.tables import render_report_summary
    from trimtab.report.write_report import write_report

    out.print(render_report_summary(write_report(folder)))
    echo(f"\n{folder / 'report.html'}")
