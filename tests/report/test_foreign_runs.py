"""A run folder of someone else is data: commands that read it import no code that it names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.core.component import get_kind
from trimtab.pipeline.run_index import load_run_index
from trimtab.pipeline.stored_study import UnloadedComponent, hash_study, load_stored_study, save_study
from trimtab.report.run_reader import Run

# Runs when it is imported.
MODULE = """
from pathlib import Path
from trimtab.core.component import Component

Path(__file__).with_name("imported").touch()

class Judgement(Component):
    strictness: int = 1
    def requirements(self): ...
    def judge(self, comparisons, engines): ...
    def score(self, completions, runtime): ...
    def content_hash(self): return "1"
    def annotate(self, pairs, inputs): ...
"""
SETTINGS = """
judges: {strict: {kind: "foreign_module:Judgement", strictness: 2}}
scorers: {checker: {kind: synthetic_checker}, mine: {kind: "foreign_module:Judgement"}}
arms: {custom: {annotator: {kind: "foreign_module:Judgement", parts: [{kind: "foreign_module:Judgement"}]}, labels_only: true}}
"""


@pytest.fixture
def foreign_run(finished_run: Path, tiny_study: str, tmp_path: Path) -> Path:
    """A run whose settings name a custom class, and the module next to it and in its folder."""
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    settings = tiny_study.replace("scorers: {checker: synthetic_checker}", "")
    (folder / "study.yaml").write_text(settings + SETTINGS)
    document = load_run_index(folder)
    document.model_copy(update={"study_sha256": ""}).save(folder)
    for place in (tmp_path, folder):
        (place / "foreign_module.py").write_text(MODULE)
    return folder


@pytest.mark.parametrize("command", [["report"], ["show"], ["compare"], ["verify"]])
def test_commands_that_read_a_run_import_nothing_from_it_or_from_the_working_directory(
    command: list[str], foreign_run: Path
) -> None:
    folders = [str(foreign_run)]
    if command == ["compare"]:
        folders.append(str(shutil.copytree(foreign_run, foreign_run.with_name("copy"))))
    program = Path(sys.executable).with_name("trimtab")
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    for working_directory in (foreign_run, foreign_run.parent):
        done = subprocess.run(
            [str(program), *command, *folders],
            cwd=working_directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert not (working_directory / "imported").exists()


def test_a_custom_component_keeps_its_kind_and_settings(foreign_run: Path) -> None:
    study = Run(foreign_run).study
    judge = study.judges["strict"]
    assert isinstance(judge, UnloadedComponent)
    assert get_kind(judge) == "foreign_module:Judgement"
    assert judge.model_dump() == {"strictness": 2}
    assert Run(foreign_run).study == study


def test_a_stored_study_is_written_as_it_was_read(foreign_run: Path, tmp_path: Path) -> None:
    study = Run(foreign_run).study
    save_study(study, tmp_path)
    assert load_stored_study(tmp_path, hash_study(study)) == study
