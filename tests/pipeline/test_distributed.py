"""Several processes share the training of a study, and one of them writes its results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError
from trimtab.pipeline.distributed import HEARTBEAT_FILE, heartbeat, wait_for_stage
from trimtab.pipeline.joined_run import join_run
from trimtab.pipeline.stage import Stage
from trimtab.report.collect.report import collect_report
from trimtab.storage.artifacts import Store

# Stages whose examples two processes share evenly; in others the last step of an epoch repeats some examples.
EVEN = ("sft.student", "sft.weak-model", "dpo.weak-model")


def log(folder: Path, stage: str) -> list[dict[str, float]]:
    [path] = (folder / "stages").glob(f"{stage}-*/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(finished_run: Path, tiny_study: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29531", "-m", "trimtab"]
    command = [sys.executable, *launch, "run", str(study), "--out", str(tmp_path / "run"), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    for stage in EVEN:
        for ours, theirs in zip(log(tmp_path / "run", stage), log(finished_run, stage), strict=True):
            # Adam's first step depends only on the signs of gradients, so later steps differ by more than rounding
            tolerance = 1e-3 if theirs["step"] == 1 else 3e-2
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance), stage
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=tolerance), stage
    assert [arm.name for arm in collect_report(tmp_path / "run").arms] == [
        arm.name for arm in collect_report(finished_run).arms
    ]


STAGE = Stage(name="split", kind="split", execute=lambda *_: {})


def test_a_worker_stops_with_an_error_if_the_main_process_gives_no_sign_of_life(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"split: the main process of .* gave no sign of life for 0.5 seconds"):
        wait_for_stage(STAGE, Store(tmp_path), max_silence=0.5)
    assert time.monotonic() - start >= 0.5


def test_a_worker_waits_as_long_as_the_main_process_is_alive(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def finish_later() -> None:
        time.sleep(1.5)
        store.get_or_create(STAGE.name, STAGE.recipe, lambda draft: {})

    with heartbeat(tmp_path, interval=0.1):
        main_process = threading.Thread(target=finish_later)
        main_process.start()
        artifact = wait_for_stage(STAGE, store, max_silence=0.5)
        main_process.join()
    assert artifact.record["name"] == "split"
    assert not (tmp_path / HEARTBEAT_FILE).exists()


def test_no_other_process_joins_a_distributed_run_while_it_is_alive(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    runtime = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)

    def join() -> tuple[str, ...]:
        return join_run(run, runtime, lambda number, total, name: None, wait_seconds=0).created

    with (
        heartbeat(run),
        pytest.raises(StoreError, match="is a run that torchrun started, whose processes train together"),
    ):
        join()
    assert join() == ()
