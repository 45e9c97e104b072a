"""Writes the report of a run into its folder."""

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
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.disk_errors import translate_os_errors


def write_report(folder: Path) -> Report:
    """Writes `report.json`, `report.html` and `figures/*.svg`. Raises `StoreError` if the folder holds no run."""
    run = Run(folder)
    report = build_report(run)
    page = render_page(PageContents(report=report, pairs=build_pair_browser(run)))
    document = json.dumps(report_to_json(report), indent=1, ensure_ascii=False, allow_nan=False)
    with translate_os_errors(folder, "make it writable, or copy the run to another folder"):
        atomic_write_text(folder / "report.json", document)
        atomic_write_text(folder / "report.html", page.html)
        _write_figures(folder / "figures", page.figures)
    return report


def _write_figures(folder: Path, figures: tuple[Figure, ...]) -> None:
    """One SVG file per figure. Deletes the files of an earlier report's figures that no longer exist."""
    folder.mkdir(exist_ok=True)
    by_file = {re.sub(r"[^A-Za-z0-9._-]", "-", figure.name) + ".svg": figure for figure in figures}
    for file_name, figure in by_file.items():
        atomic_write_text(folder / file_name, to_standalone_svg(figure.svg))
    for old in folder.glob("*.svg"):
        if old.name not in by_file:
            old.unlink()
