"""Commands about what a run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import Run
from trimtab.cli.studies import reported
from trimtab.cli.terminal import app, err, out, say
from trimtab.console import Bars
from trimtab.errors import StudyError


@app.command()
def report(folder: Run) -> None:
    """Make report.html and report.json of a run again.

    Prints the tables too. Reads what the run left and trains nothing; needs no torch.
    """
    reported(folder)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR DIR …", help="Folders of runs; the others are compared with the first.", show_default=False
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A page of the same, such as compare.html.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Where every figure goes, for programs.", show_default=False),
    ] = None,
) -> None:
    """Show studies side by side, with paired differences.

    Differences are taken where two studies have the same test pairs. Reads what the runs left; needs no torch.
    """
    from trimtab.report.beside import beside
    from trimtab.report.beside_json import to_json
    from trimtab.report.beside_page import render
    from trimtab.report.beside_tables import summary
    from trimtab.store import hand_out

    found = beside(folders)
    out.print(summary(found))
    if json_file is not None:
        hand_out(json_file, json.dumps(to_json(found), indent=1, ensure_ascii=False, allow_nan=False))
        say(f"\n{json_file}")
    if to is not None:
        hand_out(to, render(found))
        say(f"\n{to}")


@app.command()
def show(
    folder: Run,
    pair: Annotated[
        str | None,
        typer.Argument(
            metavar="PAIR", help="A pair's id, or as much of it as no other begins with.", show_default=False
        ),
    ] = None,
    arm: Annotated[str | None, typer.Option(metavar="NAME", help="The labels of this arm alone.")] = None,
    text: Annotated[bool, typer.Option(help="With the pair's texts and what models wrote on it.")] = True,
) -> None:
    """Show how each arm labeled a pair, trees and arguments included.

    Without PAIR, lists some that are worth looking at. Reads what the run left; needs no torch.
    """
    from trimtab.report.show import shown

    out.print(shown(folder, pair, arm, text=text))


@app.command()
def export(
    folder: Run,
    arm: Annotated[str, typer.Option(metavar="NAME", help="Whose labels, or whose student.")] = "weak",
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="trl: its labels as chosen and rejected, in jsonl. model: its student, in safetensors.",
        ),
    ] = "trl",
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="A file for trl, a folder for model.  [default: export/ in DIR, by the arm's name]",
        ),
    ] = None,
) -> None:
    """Hand an arm's labels or its student on to other tools."""
    from trimtab.export import export_model, export_preferences

    if format == "trl":
        path = to or folder / "export" / f"{arm}.jsonl"
        count = export_preferences(folder, arm, path)
        say(f"{count} preferences: prompt, chosen, rejected (messages), p_chosen, margin, weight\n{path}")
    elif format == "model":
        path = to or folder / "export" / arm
        export_model(folder, arm, path, Bars(err).notify)
        say(f"a whole model; load it with AutoModelForCausalLM.from_pretrained\n{path}")
    else:
        raise StudyError(f"--format: must be trl or model, got {format!r}")
