"""The command with which human raters label pairs."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.options import DataSettings
from trimtab.cli.terminal import app, echo, err
from trimtab.errors import StudyError

if TYPE_CHECKING:
    from trimtab.labeling.events import LabelingSettings
    from trimtab.sources.file import File
    from trimtab.types import Dataset, Pair

Pool = Annotated[
    Path,
    typer.Argument(metavar="POOL", help="A file of pairs to label; its labels are not shown.", show_default=False),
]
Rater = Annotated[str, typer.Option("--rater", metavar="NAME", help="Who labels; each rater has a file of their own.")]
NumPairs = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Label a random sample of N of the pairs.")]
Guideline = Annotated[
    Path | None, typer.Option("--guideline", metavar="FILE", help="Text shown above the pairs: what is better?")
]
LabelsFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for the answers; run again with the same folder to resume.")
]
Overlap = Annotated[
    float, typer.Option(metavar="SHARE", min=0, max=1, help="The share of a rater's pairs that all raters label.")
]
Repeats = Annotated[
    float,
    typer.Option(
        metavar="SHARE", min=0, max=0.5, help="The share of pairs that are shown twice, to measure consistency."
    ),
]
SamplingSeed = Annotated[int, typer.Option(metavar="N", min=0, help="The seed of the sample and of the sides.")]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where the page is; an SSH tunnel is safer than another address.")
]
Port = Annotated[
    int | None, typer.Option(metavar="N", min=1024, max=65535, help="The page's port.  [default: a random free one]")
]
ExportFile = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        help="Only write the labels of all raters to a .jsonl or .parquet file, and show the summary.",
    ),
]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="rows: pairs with a preferred response, and all votes. all: also the others. trl: TRL's format.",
    ),
]
VoteRule = Annotated[
    str,
    typer.Option("--combine", metavar="RULE", help="votes: the share of votes. dawid_skene: for three or more raters."),
]


@app.command()
def label(
    pool: Pool,
    rater: Rater = "",
    guideline: Guideline = None,
    limit: NumPairs = 400,
    output: LabelsFolder = Path("human-labels"),
    overlap: Overlap = 0.2,
    repeats: Repeats = 0.1,
    seed: SamplingSeed = 0,
    data: DataSettings = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    export_file: ExportFile = None,
    export_format: ExportFormat = "rows",
    combine_by: VoteRule = "votes",
) -> None:
    """Label pairs yourself, on a local page.

    Every answer is saved at once. Ctrl+C stops the page and writes the labels of all raters to labeled.jsonl in the folder.

    For example: trimtab label pool.jsonl --rater ana --guideline guideline.txt

    Then: trimtab audit human-labels/labeled.jsonl --annotator probe
    """
    from trimtab.labeling.label_files import validate_label_file
    from trimtab.workflows.pair_files import build_pair_file, parse_data_settings

    if not rater and export_file is None:
        raise StudyError("--rater NAME: is required, because each rater has a file of their own")
    if export_file is None and (export_format, combine_by) != ("rows", "votes"):
        raise StudyError("--format, --combine: require --export FILE")
    label_file = export_file or output / "labeled.jsonl"
    validate_label_file(label_file, pool, export_format)
    source = build_pair_file(pool, parse_data_settings(data or ()))
    dataset = source.load()
    _report_unusable_rows(dataset)
    if export_file is None:
        from trimtab.labeling.events import LabelingSettings

        _require_web_server()
        settings = LabelingSettings(seed=seed, limit=limit, overlap=overlap, repeats=repeats)
        _serve_rater(dataset.pairs, rater, settings, guideline, output, host, port)
    _export(source, dataset, output, label_file, export_format, combine_by)


def _serve_rater(
    pairs: Sequence[Pair],
    rater: str,
    settings: LabelingSettings,
    guideline: Path | None,
    output: Path,
    host: str,
    port: int | None,
) -> None:
    from trimtab.labeling.labeling_session import LabelingSession, build_event_log, normalize_rater
    from trimtab.labeling.serve_page import describe_host_risk, serve_page

    rater = normalize_rater(rater)
    log, text, warning = build_event_log(output, rater), _read_guideline(guideline), describe_host_risk(host)
    with log.lock():
        session = LabelingSession.resume(log, rater, pairs, settings)
        if warning is not None:
            err.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
        progress = f"{len(session.history.answers)} of {len(session.queue)} answers given; each is saved in {log.path}"
        message = f"{progress}. Ctrl+C stops the page and writes the labels."
        err.print(message, highlight=False, markup=False, soft_wrap=True)
        serve_page(session, text, host, port, lambda link: echo(f"Open this link; it works once: {link}"))


def _export(source: File, dataset: Dataset, folder: Path, path: Path, label_format: str, combine_by: str) -> None:
    from trimtab.labeling.label_files import write_labels
    from trimtab.labeling.pair_votes import combine_answers, read_rater_histories
    from trimtab.labeling.rater_summary import format_rater_summary, summarize_raters
    from trimtab.metrics.model_preference import compare_models
    from trimtab.workflows.response_models import format_model_preferences, read_response_models

    pairs = dataset.pairs
    histories = read_rater_histories(folder, pairs)
    labels = combine_answers(histories, pairs, combine_by)
    if not labels:
        echo("no answers so far, so no labels were written")
        return
    models = read_response_models(dataset)
    write_labels(path, labels, label_format, models)
    prompts = {pair.id: pair.prompt_id for pair in pairs}
    preferences = compare_models([each.to_annotation() for each in labels], models, prompts)
    summary = format_rater_summary(summarize_raters(histories, prompts), labels)
    echo("\n".join([summary, *format_model_preferences(preferences), str(path)]))


def _read_guideline(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise StudyError(f"--guideline {path}: cannot be read ({reason}); expected a text file") from error


def _report_unusable_rows(dataset: Dataset) -> None:
    if not dataset.failures:
        return
    first = dataset.failures[0]
    err.print(
        f"rows left out: {len(dataset.failures)}, starting with {first.location}: {first.reason}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _require_web_server() -> None:
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise StudyError(f"trimtab label needs {', '.join(missing)}: in Trimtab's folder, run pip install '.[label]'")
