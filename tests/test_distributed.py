"""Several processes share the training of one study, and one of them writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trimtab.report.collect import collect


@pytest.mark.slow
def test_two_processes_train_what_one_trains(finished_run: Path, tiny_study: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29531", "-m", "trimtab"]
    command = [sys.executable, *launch, "run", str(study), "--out", str(tmp_path / "run"), "--device", "cpu"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=alone, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    ours, theirs = ({path.parent.parent.name: load_file(path) for path in folder.rglob("adapter_model.safetensors")}
                    for folder in (tmp_path / "run", finished_run))
    assert ours.keys() == theirs.keys()
    for stage, weights in theirs.items():
        for name, weight in weights.items():
            assert torch.allclose(weight, ours[stage][name], atol=1e-4), f"{stage}: {name}"
    assert [arm.name for arm in collect(tmp_path / "run").arms] == [arm.name for arm in collect(finished_run).arms]
