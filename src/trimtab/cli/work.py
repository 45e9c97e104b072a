"""The command that joins a run."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab.cli.options import Device, RunFolder, SharedFolder, TokenBudget, TrainerArguments
from trimtab.cli.runtime import build_runtime, parse_trainer_arguments
from trimtab.cli.terminal import app, err, stage_progress_callback
from trimtab.errors import TrimtabError


@app.command()
def work(
    folder: RunFolder,
    store: SharedFolder = None,
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
    trainer: TrainerArguments = None,
    wait: Annotated[
        int, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the run to start.")
    ] = 600,
) -> None:
    """Help with a run that `trimtab run` has started, on any host.

    The host must see the run folder, and the files, models and components that the study names. Executes stages until none is
    left, and chunks of the stages that others execute; the process of `trimtab run` writes the report. Start it in the same
    working directory, with the same --trainer and --store. Executes a study from DIR, including its custom components, so join
    only runs that you trust.
    """
    from trimtab.pipeline.joined_run import join_run
    from trimtab.storage.shared_store import SharedStore

    runtime = build_runtime(device, token_budget, parse_trainer_arguments(trainer or ()))
    shared = None if store is None else SharedStore(store)
    result = join_run(folder, runtime, stage_progress_callback(), shared, wait_seconds=wait)
    err.print(
        f"{len(result.created)} stages run, {result.chunks} chunks computed for stages of other processes",
        highlight=False,
    )
    if result.failed:
        raise TrimtabError(f"{len(result.failed)} stages failed here: {', '.join(result.failed)}")
