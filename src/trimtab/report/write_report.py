"""The report of a run, written beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trimtab.report.collect.report import build_report
from trimtab.report.model import Report, report_to_json
from trimtab.report.page.figures import to_standalone_svg
from trimtab.report.page.html import render_page
from trimtab.report.page.pair_browser import build_pair_browser
from trimtab.report.page.sections.section import Figure, PageContents
from trimtab.report.run_reader import Run
from trimtab.storage.artifacts import atomic_write_text


def write_report(folder: Path) -> Report:
    """Writes `report.json`, `report.html` and `figures/*.svg` of a run. Raises `StoreError` where there is none."""
    run = Run(folder)
    made = build_report(run)
    shown = render_page(PageContents(report=made, pairs=build_pair_browser(run)))
    atomic_write_text(
        folder / "report.json", json.dumps(report_to_json(made), indent=1, ensure_ascii=False, allow_nan=False)
    )
    atomic_write_text(folder / "report.html", shown.html)
    _write_figures(folder / "figures", shown.figures)
    return made


def _write_figures(folder: Path, figures: tuple[Figure, ...]) -> None:
    """A file a figure; those of an earlier report that this one does not have are taken away."""
    folder.mkdir(exist_ok=True)
    names = {re.sub(r"[^A-Za-z0-9._-]", "-", each.name) + ".svg": each for each in figures}
    for name, each in names.items():
        atomic_write_text(folder / name, to_standalone_svg(each.svg))
    for old in folder.glob("*.svg"):
        if old.name not in names:
            old.unlink()
