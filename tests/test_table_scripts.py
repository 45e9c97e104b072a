"""The scripts that print the tables of finished runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.report.write_report import write_report

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture
def reported_run(finished_run: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    write_report(folder)
    return folder


def run_script(name: str, *arguments: str) -> str:
    command = [sys.executable, str(STUDIES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_tables_of_a_run_show_arms_differences_and_labels(reported_run: Path) -> None:
    text = run_script("run_tables.py", str(reported_run))
    assert "| `human` |" in text
    assert "| `weak` minus `human` |" in text
    assert "| labels | Agreement |" in text


def test_the_tables_over_seeds_show_each_arm(reported_run: Path) -> None:
    text = run_script("labels/seed_tables.py", "accuracy", str(reported_run))
    assert "| arm | label accuracy | coverage | accuracy | SD across seeds |" in text
    assert "| `weak` |" in text
    assert "weak_model" not in text
