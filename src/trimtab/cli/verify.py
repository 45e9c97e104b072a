"""The command that checks the files of a run."""

from __future__ import annotations

import typer

from trimtab.cli.options import RunFolder
from trimtab.cli.terminal import app, echo
from trimtab.workflows.verify import verify_run


@app.command()
def verify(folder: RunFolder) -> None:
    """Compare every file of a run with its recorded hash.

    Other commands compare large weights by size, time and samples when they open a stage; `verify` reads them completely. Exits
    with status 1 if a file is damaged.
    """
    found = verify_run(folder)
    for problem in found.problems:
        echo(problem)
    if found.without_hashes:
        echo(
            f"{len(found.without_hashes)} stages have no content hashes, because an earlier version wrote them "
            f"({found.without_hashes[0]}, …); their files cannot be checked. Delete a stage's folder and run the "
            "study again to create it with hashes."
        )
    unfinished = f", {found.unfinished} unfinished" if found.unfinished else ""
    count = f"{len(found.problems)} problems" if found.problems else "no problems"
    echo(
        f"{found.stages} finished stages{unfinished}, {found.files} files, {found.size / 1e6:,.1f} MB checked: {count}"
    )
    if found.problems:
        raise typer.Exit(1)
