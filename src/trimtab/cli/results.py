"""Commands about what a run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.arguments import RunFolder
from trimtab.cli.progress import RichProgress
from trimtab.cli.studies import write_and_print_report
from trimtab.cli.terminal import app, echo, err, out
from trimtab.errors import StudyError


@app.command()
def report(folder: RunFolder) -> None:
    """Make report.html and report.json of a run again.

    Prints the tables too. Reads what the run left and trains nothing; needs no torch.
    """
    write_and_print_report(folder)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR DIR …", help="Folders of runs; the others are compared with the first.", show_default=False
        ),
    ],
    output: Annotated[
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
    from trimtab.report.run_comparison.collect import compare_runs
    from trimtab.report.run_comparison.json_format import run_comparison_to_json
    from trimtab.report.run_comparison.page import render_run_comparison_page
    from trimtab.report.run_comparison.terminal import render_run_comparison_tables
    from trimtab.storage.atomic import write_output

    found = compare_runs(folders)
    out.print(render_run_comparison_tables(found))
    if json_file is not None:
        write_output(
            json_file, json.dumps(run_comparison_to_json(found), indent=1, ensure_ascii=False, allow_nan=False)
        )
        echo(f"\n{json_file}")
    if output is not None:
        write_output(output, render_run_comparison_page(found))
        echo(f"\n{output}")


@app.command()
def show(
    folder: RunFolder,
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
    from trimtab.report.pair_view.terminal import render_show_command

    out.print(render_show_command(folder, pair, arm, show_text=text))


@app.command()
def export(
    folder: RunFolder,
    arm: Annotated[str, typer.Option(metavar="NAME", help="Whose labels, or whose student.")] = "weak",
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="trl: its labels as chosen and rejected, in jsonl. model: its student, in safetensors.",
        ),
    ] = "trl",
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="A file for trl, a folder for model.  [default: export/ in DIR, by the arm's name]",
        ),
    ] = None,
) -> None:
    """Hand an arm's labels or its student on to other tools."""
    from trimtab.workflows.export import export_model, export_preferences

    if format == "trl":
        path = output or folder / "export" / f"{arm}.jsonl"
        count = export_preferences(folder, arm, path)
        echo(f"{count} preferences: prompt, chosen, rejected (messages), p_chosen, margin, weight\n{path}")
    elif format == "model":
        path = output or folder / "export" / arm
        export_model(folder, arm, path, RichProgress(err).notify)
        echo(f"a whole model; load it with AutoModelForCausalLM.from_pretrained\n{path}")
    else:
        raise StudyError(f"--format: must be trl or model, got {format!r}")
