"""Several processes share the training of one study, and one of them writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.report.collect.report import collect_report

# Stages whose examples two processes can share evenly; elsewhere the last step of an epoch repeats a few.
EVEN = ("sft.student", "sft.weak-model", "dpo.weak-model")


def log(folder: Path, stage: str) -> list[dict[str, float]]:
    [found] = (folder / "stages").glob(f"{stage}-*/log.jsonl")
    return [json.loads(line) for line in found.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(finished_run: Path, tiny_study: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29531", "-m", "trimtab"]
    command = [sys.executable, *launch, "run", str(study), "--out", str(tmp_path / "run"), "--device", "cpu"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=alone, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    for stage in EVEN:
        for ours, theirs in zip(log(tmp_path / "run", stage), log(finished_run, stage), strict=True):
            # what follows Adam's first step differs by more than rounding: it turns the sign of a gradient into a step
            exact = 1e-3 if theirs["step"] == 1 else 3e-2
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=exact), stage
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=exact), stage
    assert [arm.name for arm in collect_report(tmp_path / "run").arms] == [
        arm.name for arm in collect_report(finished_run).arms
    ]
