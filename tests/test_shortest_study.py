"""The shortest study a user can write: every setting has its default, the paper's full SFT among them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = """
name: shortest
data: {kind: starter, limit: 40}
models: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}
"""
# Two of the models' 30 layers.
LAYERS = "{base: smollm2-135m-instruct, layers: 2}"


@pytest.mark.slow
def test_the_shortest_study_reaches_its_report(tmp_path: Path) -> None:
    study, out = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(STUDY)
    command = [sys.executable, "-m", "trimtab", "run", str(study), "--out", str(out)]
    command += [f"models.weak={LAYERS}", f"models.student={LAYERS}"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    rows = json.loads((out / "report.json").read_text())["arms"]
    assert {"base", "sft", "human", "weak", "flipped", "weak_model"} <= set(rows)
    assert (out / "report.html").is_file()
