"""The report of a run, written beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trimtab.report.browse import browse
from trimtab.report.collect import collected
from trimtab.report.figures import as_file
from trimtab.report.folder import Run
from trimtab.report.html import page
from trimtab.report.model import Report, to_json
from trimtab.report.sections.section import Contents, Figure
from trimtab.store import write_whole


def remake(folder: Path) -> Report:
    """Writes `report.json`, `report.html` and `figures/*.svg` of a run. Raises `StoreError` where there is none."""
    run = Run(folder)
    made = collected(run)
    shown = page(Contents(report=made, pairs=browse(run)))
    write_whole(folder / "report.json", json.dumps(to_json(made), indent=1, ensure_ascii=False, allow_nan=False))
    write_whole(folder / "report.html", shown.text)
    _write_figures(folder / "figures", shown.figures)
    return made


def _write_figures(folder: Path, figures: tuple[Figure, ...]) -> None:
    """A file a figure; those of an earlier report that this one does not have are taken away."""
    folder.mkdir(exist_ok=True)
    names = {re.sub(r"[^A-Za-z0-9._-]", "-", each.name) + ".svg": each for each in figures}
    for name, each in names.items():
        write_whole(folder / name, as_file(each.svg))
    for old in folder.glob("*.svg"):
        if old.name not in names:
            old.unlink()
