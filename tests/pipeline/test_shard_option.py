"""`--shard` divides the frozen weights of LoRA trainings among the processes of torchrun, and is refused elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.shard_checks import preflight_sharding

LORA_ONLY = (("sft: {", "sft: {lora_r: 2, "), ("layers: 1, ", ""))


def adapt(study: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in study
        study = study.replace(old, new)
    return study


def check(text: str, runtime: Runtime) -> None:
    study = Study.parse(text)
    preflight_sharding(study, build_plan(study), runtime)


def test_a_study_is_refused_if_its_weights_cannot_be_divided(tiny_study: str, runtime: Runtime) -> None:
    sharded = replace(runtime, world_size=2, shard=True)
    check(tiny_study, runtime)
    check(adapt(tiny_study, *LORA_ONLY), sharded)
    with pytest.raises(
        StudyError, match="--shard: divides the weights among several processes; start them with torchrun"
    ):
        check(adapt(tiny_study, *LORA_ONLY), replace(sharded, world_size=1))
    with pytest.raises(StudyError, match=r"--shard: sft.\S+ trains all weights \(lora_r: 0\), .* set lora_r"):
        check(adapt(tiny_study, LORA_ONLY[1]), sharded)
    with pytest.raises(StudyError, match=r"--shard: \S+ trains the first layers of a model \(`layers`\)"):
        check(adapt(tiny_study, LORA_ONLY[0]), sharded)
    with pytest.raises(StudyError, match=r"--shard: needs --device cuda, or a machine without a GPU; here, .* mps"):
        check(adapt(tiny_study, *LORA_ONLY), replace(sharded, device="mps"))


def read_log(run: Path, stage: str) -> list[dict[str, float]]:
    [path] = run.glob(f"stages/{stage}-*/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_change(run: Path, start: Path) -> torch.Tensor:
    """How the SFT, which student and weak model share, changed the weights."""
    [tuned] = run.glob("stages/sft.*/model/model.safetensors")
    before, after = load_file(start / "model.safetensors"), load_file(tuned)
    assert before.keys() == after.keys()
    return torch.cat([(after[name] - before[name]).flatten() for name in sorted(before)])


@pytest.mark.slow
def test_a_sharded_run_trains_the_models_of_one_process(
    tiny_study: str, tiny_model: Path, run_whole: Callable[..., tuple[Study, Path]], tmp_path: Path
) -> None:
    text = adapt(tiny_study, *LORA_ONLY)
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(text)
    alone = run_whole(text)[1]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29534", "-m", "trimtab"]
    command = [sys.executable, *launch, "run", str(study), "--out", str(run), "--device", "cpu", "--shard"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": "off"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert finished.returncode == 0, finished.stderr[-3000:]
    for stage in ("sft.*", "dpo.weak-model"):
        for ours, theirs in zip(read_log(run, stage), read_log(alone, stage), strict=True):
            # Adam's first step depends only on the signs of gradients, so later steps differ by more than rounding
            tolerance = 1e-3 if theirs["step"] == 1 else 3e-2
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance), stage
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=tolerance), stage
    change, expected = read_change(run, tiny_model), read_change(alone, tiny_model)
    assert (change - expected).norm() < 3e-2 * expected.norm()
    assert expected.norm() > 0
