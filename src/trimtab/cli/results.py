"""Commands that read the results of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.completion import complete_arms, complete_run_folders
from trimtab.cli.options import RunFolder
from trimtab.cli.studies import write_and_print_report
from trimtab.cli.terminal import app, echo, err, out


@app.command()
def report(folder: RunFolder) -> None:
    """Rebuild report.html and report.json of a run.

    Also prints the tables. Reads the run's results without training anything; does not need torch.
    """
    write_and_print_report(folder)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR DIR …",
            help="Folders of runs; the others are compared with the first.",
            show_default=False,
            autocompletion=complete_run_folders,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Also write a page, such as compare.html.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write all metrics as JSON.", show_default=False),
    ] = None,
) -> None:
    """Compare runs side by side, with paired differences.

    Differences are computed if two runs have the same test pairs. Reads the runs' results; does not need torch.
    """
    from trimtab.report.run_comparison.collect import compare_runs
    from trimtab.report.run_comparison.json_format import run_comparison_to_json
    from trimtab.report.run_comparison.page import render_run_comparison_page
    from trimtab.report.run_comparison.terminal import render_run_comparison_tables
    from trimtab.storage.atomic import write_output

    comparison = compare_runs(folders)
    out.print(render_run_comparison_tables(comparison))
    if json_file is not None:
        document = run_comparison_to_json(comparison)
        write_output(json_file, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
        echo(f"\n{json_file}")
    if output is not None:
        write_output(output, render_run_comparison_page(comparison))
        echo(f"\n{output}")


@app.command("compare-paper")
def compare_paper(
    published: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLISHED.yaml",
            help="The numbers of a paper, such as studies/tao2024/published.yaml.",
            show_default=False,
        ),
    ],
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR …",
            help="Folders of runs, or of the variants of a study.",
            show_default=False,
            autocompletion=complete_run_folders,
        ),
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Print a paper's tables next to those of finished runs.

    Each number has the run's value with its 95% interval, n, and whether the direction agrees with the paper's.

    For example: trimtab compare-paper studies/tao2024/published.yaml runs/tables-1-2-11 runs/figure7
    """
    from trimtab.report.paper_comparison.published import load_published_paper
    from trimtab.report.paper_comparison.runs import open_runs
    from trimtab.report.paper_comparison.tables import (
        LEGEND,
        build_paper_table,
        compare_with_paper,
        list_missing_studies,
        render_markdown_table,
    )
    from trimtab.report.table import render_terminal_table

    paper, runs = load_published_paper(published), open_runs(folders)
    for table in map(build_paper_table, compare_with_paper(paper, runs)):
        if markdown:
            echo(f"{render_markdown_table(table)}\n")
        else:
            out.print(render_terminal_table(table))
    echo(LEGEND)
    if missing := list_missing_studies(paper, runs):
        err.print(f"no run of: {', '.join(missing)}", highlight=False, markup=False)


@app.command()
def show(
    folder: RunFolder,
    pair: Annotated[
        str | None,
        typer.Argument(metavar="PAIR", help="A pair's id, or a unique prefix of it.", show_default=False),
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show only the labels of this arm.", autocompletion=complete_arms),
    ] = None,
    text: Annotated[bool, typer.Option(help="Include the pair's texts and the text that models generated.")] = True,
) -> None:
    """Show how each arm labeled a pair.

    Includes search trees, arguments, and the votes of judges. Without PAIR, lists some interesting pairs. Reads the run's
    results; does not need torch.
    """
    from trimtab.report.pair_view.terminal import render_show_command

    out.print(render_show_command(folder, pair, arm, show_text=text))
