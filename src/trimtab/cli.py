"""The command line. Messages go to the terminal's error stream, results to its output."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from trimtab.console import Bars
from trimtab.errors import StudyError, TrimtabError
from trimtab.protocols import Runtime

app = typer.Typer(
    name="trimtab",
    help="Align a strong language model with a weak one's feedback.\n\nStart with: trimtab quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console()
err = Console(stderr=True)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study to run.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[key.sub=value …]", help="Settings to change, such as training.dpo.beta=0.05.", show_default=False
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results are kept; run again to go on from there.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps. Never part of a study.")]
Budget = Annotated[
    int, typer.Option("--token-budget", min=64, help="Tokens that one forward pass may hold: memory against speed.")
]
Trainer = Annotated[
    list[str] | None,
    typer.Option(
        "--trainer", metavar="KEY=VALUE", help="Passed to transformers.TrainingArguments, such as report_to=wandb."
    ),
]


@app.command()
def quickstart(
    out_dir: Out = Path("runs/quickstart"),
    device: Device = "auto",
    token_budget: Budget = 2048,
) -> None:
    """Run a whole study on the model and the pairs that ship: no hub, no GPU, about five minutes on two cores."""
    from trimtab.studies import shipped
    from trimtab.study import Study

    _run(Study.parse(shipped("quickstart")), out_dir, _runtime(device, token_budget, ()))


@app.command()
def run(
    study: StudyPath,
    changes: Changes = None,
    out_dir: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME.")] = None,
    device: Device = "auto",
    token_budget: Budget = 2048,
    trainer: Trainer = None,
) -> None:
    """Run a study, and write report.html and report.json. Run it again to go on from where it stopped."""
    from trimtab.study import Study

    read = Study.load(study, changes or ())
    _run(read, out_dir or Path("runs") / read.name, _runtime(device, token_budget, trainer or ()))


@app.command()
def plan(
    study: StudyPath,
    changes: Changes = None,
    out_dir: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/NAME.")] = None,
) -> None:
    """Show what a study will do: what is there already, what will run and why, and about how long. Changes nothing."""
    from trimtab.forecast import forecast
    from trimtab.study import Study

    read = Study.load(study, changes or ())
    folder = out_dir or Path("runs") / read.name
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "why", "about"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "about" else "left")
    rows = forecast(read, folder)
    for row in rows:
        table.add_row(row.stage, row.state, row.why, row.about)
    out.print(table)
    todo = [row for row in rows if row.state != "done"]
    known = sum(row.seconds for row in todo if row.seconds is not None)
    rest = sum(row.seconds is None for row in todo)
    about = f", about {_minutes(known)}" if known else ""
    unknown = f" and {rest} stages of unknown length" if rest and known else ""
    out.print(
        f"\n{len(rows) - len(todo)} of {len(rows)} stages are done; {len(todo)} to run{about}{unknown}, in {folder}"
    )


@app.command()
def annotate(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="A file of pairs: json, jsonl, csv or parquet.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="The annotator's settings.", show_default=False)
    ] = None,
    kind: Annotated[
        str, typer.Option("--with", metavar="KIND", help="See: trimtab list annotators.")
    ] = "implicit_reward",
    run_dir: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="A finished run whose weak model @weak names.")
    ] = None,
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .parquet, .jsonl or .csv file.")] = Path(
        "labels.parquet"
    ),
    device: Device = "auto",
    token_budget: Budget = 2048,
) -> None:
    """Label pairs, without a study: writes one row a pair with the probability that response a is the better."""
    from trimtab.labeling import label_file

    told = label_file(pairs, kind, settings or (), run_dir, to, _runtime(device, token_budget, ()))
    out.print(f"{told}\n{to}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run.")]) -> None:
    """Make report.html and report.json of a run again, and print the tables. Needs no torch."""
    _report(folder)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run.")],
    arm: Annotated[str, typer.Option(help="Whose labels, or whose model with --format model.")] = "weak",
    format: Annotated[
        str, typer.Option(help="trl: preferences as jsonl. model: the arm's student, whole, as safetensors.")
    ] = "trl",
    to: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Default: DIR/export/ARM.jsonl, or DIR/export/ARM.")
    ] = None,
) -> None:
    """Hand an arm's labels or its student on to other tools."""
    from trimtab.export import export_model, export_preferences

    if format == "trl":
        path = to or folder / "export" / f"{arm}.jsonl"
        count = export_preferences(folder, arm, path)
        out.print(f"{count} preferences: prompt, chosen, rejected (messages), p_chosen, margin, weight\n{path}")
    elif format == "model":
        path = to or folder / "export" / arm
        export_model(folder, arm, path, Bars(err).notify)
        out.print(f"a whole model; load it with AutoModelForCausalLM.from_pretrained\n{path}")
    else:
        raise StudyError(f"--format: must be trl or model, got {format!r}")


@app.command("list")
def list_kinds(
    what: Annotated[str, typer.Argument(help="annotators, sources, scorers, models or losses.")] = "annotators",
) -> None:
    """List what ships, with its settings."""
    from trimtab.catalog import catalog

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "what it is", "settings"):
        table.add_column(heading, overflow="fold")
    for name, meaning, settings in catalog(what):
        table.add_row(name, meaning, settings)
    out.print(table)


def _run(study: Any, folder: Path, runtime: Runtime) -> None:
    from trimtab.run import run as run_study

    start = time.monotonic()
    err.print(f"{study.name}: results go to {folder}", highlight=False)

    def began(place: int, total: int, name: str) -> None:
        err.print(f"[{_minutes(time.monotonic() - start)}] {place} of {total}: {name}", highlight=False, markup=False)

    outcome = run_study(study, folder, runtime, began)
    err.print(
        f"{len(outcome.made)} stages made, {len(outcome.kept)} were there already; {_minutes(outcome.seconds)}",
        highlight=False,
    )
    _report(folder)


def _report(folder: Path) -> None:
    from trimtab.report.collect import collect
    from trimtab.report.html import render
    from trimtab.report.model import to_json
    from trimtab.report.tables import summary
    from trimtab.store import write_whole

    made = collect(folder)
    write_whole(folder / "report.json", json.dumps(to_json(made), indent=1, ensure_ascii=False, allow_nan=False))
    write_whole(folder / "report.html", render(made))
    out.print(summary(made))
    out.print(f"\n{folder / 'report.html'}", highlight=False, soft_wrap=True)


def _runtime(device: str, token_budget: int, trainer: list[str] | tuple[str, ...]) -> Runtime:
    import yaml

    arguments = {}
    for each in trainer:
        key, equals, value = each.partition("=")
        if not equals:
            raise StudyError(f"--trainer {each}: expected KEY=VALUE")
        arguments[key] = yaml.safe_load(value)
    bars = Bars(err)
    return Runtime(
        progress=bars, notify=bars.notify, device=_device(device), token_budget=token_budget, arguments=arguments
    )


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 60}:{whole % 60:02d}"
        if whole < 3600
        else f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    )


def main() -> None:
    """The command. What Trimtab foresees is printed without a traceback and exits with 1; a stop by hand with 130."""
    try:
        app()
    except TrimtabError as error:
        err.print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("\nstopped; the same command goes on from here", highlight=False)
        sys.exit(130)
