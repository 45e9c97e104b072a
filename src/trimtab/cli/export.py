"""The command that exports an arm's labels or its student, to files or to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from trimtab.cli.completion import complete_arms, complete_words
from trimtab.cli.options import RunFolder
from trimtab.cli.progress import RichProgress
from trimtab.cli.terminal import app, echo, err
from trimtab.errors import StudyError

_MODEL = "model"
_LABELS_FILE = "train.jsonl"


ArmName = Annotated[
    str, typer.Option(metavar="NAME", help="The arm whose labels or student to export.", autocompletion=complete_arms)
]
ArmExportFormat = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help="trl or llama-factory: the labels as chosen and rejected responses, in jsonl. model: the student, in "
        "safetensors.",
        autocompletion=complete_words("trl", "llama-factory", _MODEL),
    ),
]
ExportPath = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="PATH",
        help="A .jsonl file for labels, a folder for model.  [default: export/ in DIR, named after the arm]",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file, or the weights in a folder, that already exists.")
]
RepoId = Annotated[
    str | None,
    typer.Option(
        "--push-to-hub",
        metavar="ID",
        help="Upload to this repository on the Hugging Face Hub instead: labels as a dataset, a student as a model, with a "
        "card. Private unless --public is given.",
    ),
]
Public = Annotated[bool, typer.Option("--public", help="With --push-to-hub: everyone can see the repository.")]
LicenseId = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID",
        help="With --push-to-hub: the license on the card, by the Hub's ID, such as apache-2.0.  [default: that of the model "
        "or data if it is known, else unknown]",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With --push-to-hub: print the card and list the files, but upload nothing.")
]


@app.command()
def export(
    folder: RunFolder,
    arm: ArmName = "weak",
    format: ArmExportFormat = "trl",
    output: ExportPath = None,
    overwrite: Overwrite = False,
    repo: RepoId = None,
    public: Public = False,
    license_id: LicenseId = None,
    dry_run: DryRun = False,
) -> None:
    """Export an arm's labels or its student to files or the Hub.

    The Hub is the Hugging Face Hub. Uploads have a card with the study, the quality of labels, the cost and the license.

    For example: trimtab export runs/first --push-to-hub my-account/first-labels --dry-run
    """
    from trimtab.workflows.export import FORMATS

    if format not in FORMATS:
        raise StudyError(f"--format: must be one of {', '.join(FORMATS)}, got {format!r}")
    if repo is None:
        hub_options = {"--public": public, "--license": license_id, "--dry-run": dry_run}
        if given := [name for name, value in hub_options.items() if value]:
            raise StudyError(f"{given[0]}: only with --push-to-hub ID")
        _export_to_disk(folder, arm, format, output, overwrite)
        return
    if output is not None or overwrite:
        raise StudyError(f"{'--out' if output else '--overwrite'}: not with --push-to-hub, which leaves no files here")
    _export_to_hub(folder, arm, format, repo, public, license_id, dry_run)


def _export_to_disk(folder: Path, arm: str, label_format: str, output: Path | None, overwrite: bool) -> None:
    from trimtab.workflows.export import describe_llama_factory_dataset, export_model, export_preferences

    if label_format == _MODEL:
        path = output or folder / "export" / arm
        export_model(folder, arm, path, RichProgress(err).notify, overwrite=overwrite)
        echo(f"a full model; load it with AutoModelForCausalLM.from_pretrained\n{path}")
        return
    path = output or folder / "export" / f"{arm}{'' if label_format == 'trl' else f'.{label_format}'}.jsonl"
    exported = export_preferences(folder, arm, path, label_format, overwrite=overwrite)
    left_out = f"; {exported.left_out} pairs have no preferred response and are left out" if exported.left_out else ""
    echo(f"{exported.count} preferences: prompt, chosen, rejected, and columns that start with trimtab_{left_out}")
    if label_format == "llama-factory":
        echo(f"add this to dataset_info.json of LLaMA-Factory:\n{describe_llama_factory_dataset(arm, path)}")
    echo(str(path))


def _export_to_hub(
    folder: Path, arm: str, label_format: str, repo: str, public: bool, license_id: str | None, dry_run: bool
) -> None:
    from trimtab.pipeline.run_index import load_run_index
    from trimtab.report.hub_card.origins import UNKNOWN_LICENSE
    from trimtab.storage.disk_errors import translate_os_errors
    from trimtab.workflows.hub_upload import (
        HubRepo,
        RepoType,
        list_upload_files,
        open_repo,
        require_repo_id,
        upload_files,
    )

    require_repo_id(repo)
    load_run_index(folder)  # a folder without a run is an error before the Hub is asked
    repo_type: RepoType = "model" if label_format == _MODEL else "dataset"
    if dry_run:
        target = HubRepo(id=repo, type=repo_type, private=not public, exists=False)
    else:
        target = open_repo(repo, repo_type, public=public)
    remedy = "make it writable, or copy the run to another folder"
    with translate_os_errors(folder, remedy), TemporaryDirectory(dir=folder, prefix=".hub-") as temporary:
        card = _write_upload(folder, arm, label_format, Path(temporary), target.id, license_id)
        files = list_upload_files(Path(temporary))
        if dry_run:
            echo(card)
        echo(f"{target.type} {target.id}, {'private' if target.private else 'public'}, {len(files)} files")
        for file in files:
            echo(f"  {file.size:>15,} bytes  {file.name}")
        if f"license: {UNKNOWN_LICENSE}\n" in card:
            err.print("the license is not known; state it with --license ID", highlight=False, markup=False)
        if dry_run:
            echo("nothing was uploaded")
            return
        what = "Student" if label_format == _MODEL else "Labels"
        echo(upload_files(target, files, f"{what} of arm {arm}, exported by Trimtab"))


def _write_upload(folder: Path, arm: str, label_format: str, target: Path, repo: str, license_id: str | None) -> str:
    """Writes the files to upload into `target`, and returns the card."""
    from trimtab.report.collect.report import build_report
    from trimtab.report.collect.trained_rewards import relabel_trained_rewards
    from trimtab.report.hub_card.labels_card import build_labels_card
    from trimtab.report.hub_card.student_card import build_student_card
    from trimtab.report.run_reader import Run
    from trimtab.storage.atomic import write_output
    from trimtab.workflows.export import export_model, export_preferences
    from trimtab.workflows.hub_upload import CARD_NAME

    if label_format == _MODEL:
        export_model(folder, arm, target, RichProgress(err).notify)
    else:
        exported = export_preferences(folder, arm, target / _LABELS_FILE, label_format)
    run = Run(folder)
    report = relabel_trained_rewards(build_report(run))
    row = run.find_row(arm)
    if label_format == _MODEL:
        card = build_student_card(run, report, row, repo, license_id)
    else:
        card = build_labels_card(run, report, row, repo, _LABELS_FILE, exported.count, exported.left_out, license_id)
    write_output(target / CARD_NAME, card)
    return card
