"""Several processes share the training of a study, and one of them writes its results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from run_results import list_results, wait_until

from trimtab.cli.runtime import build_runtime
from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError, NoLabelsError, StoreError
from trimtab.pipeline.distributed import Participation
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.heartbeat import (
    HEARTBEAT_FILE,
    Heartbeat,
    MainProcess,
    heartbeat,
    is_trained_by_several_processes,
    no_heartbeat,
)
from trimtab.pipeline.joined_run import join_run
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_scheduler import StageScheduler
from trimtab.pipeline.stages import generate as generate_stages
from trimtab.report.collect.report import collect_report
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.chunks import Chunking
from trimtab.storage.stage_locks import StageLocks

# Stages whose examples two processes share evenly; in others the last step of an epoch repeats some examples.
WAIT_SECONDS = 30
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
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
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


def test_a_process_stops_with_an_error_if_the_main_process_gives_no_sign_of_life(tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT_FILE).write_text("of a run that was killed")
    main_process, start = MainProcess(folder=tmp_path, max_silence=0.5), time.monotonic()
    with pytest.raises(
        StoreError, match=r"the main process of .* gave no sign of life for 0.5 seconds, so this process"
    ):
        while main_process.find_stage() == "":
            time.sleep(0.01)
    assert time.monotonic() - start >= 0.5


def test_a_process_follows_the_main_process_from_its_first_update_to_its_end(tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT_FILE).write_text("of a run that was killed")
    main_process = MainProcess(folder=tmp_path, max_silence=0.5)
    assert main_process.find_stage() == ""
    with heartbeat(tmp_path, interval=0.1) as signal:
        assert main_process.find_stage() == ""
        signal.announce("abc")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert main_process.find_stage() == "abc"
            time.sleep(0.01)
        late = MainProcess(folder=tmp_path, max_silence=5)
        while late.find_stage() != "abc":  # the next update shows that the file is not that of a killed run
            time.sleep(0.01)
    assert main_process.find_stage() is None


def test_a_folder_that_is_removed_ends_the_heartbeat_without_an_error_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with heartbeat(run, interval=0.01):
        main_process = MainProcess(folder=run, max_silence=0.2)
        wait_until(lambda: main_process.find_stage() == "" and main_process._is_known)
        shutil.rmtree(run)
        assert main_process.find_stage() is None
        time.sleep(0.05)


def test_others_can_join_a_run_of_one_process_after_torchrun_was_killed(tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT_FILE).write_text("of a run that was killed")
    assert is_trained_by_several_processes(tmp_path)
    with no_heartbeat(tmp_path):
        assert not is_trained_by_several_processes(tmp_path)


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


def compute_with_one_prompt_per_chunk(study: Path, run: Path, meeting: Path) -> None:
    """Executes the study. The first chunk of responses waits until both processes compute one."""
    from trimtab.models.inference import generate

    torch.set_num_threads(1)
    generate_stages.PROMPTS_PER_CHUNK = 1
    sample_completions, marker = generate.sample_completions, meeting / str(os.getpid())

    def meet_and_sample(*arguments: Any) -> Any:
        if not marker.exists():
            marker.touch()
            wait_until(lambda: len(list(meeting.iterdir())) == 2, 300)
        return sample_completions(*arguments)

    generate.sample_completions = meet_and_sample  # type: ignore[assignment]
    run_study(Study.parse(study.read_text()), run, build_runtime("cpu"), lambda number, total, name: None)


@pytest.mark.slow
def test_processes_of_torchrun_share_chunks_and_write_the_bytes_of_one_process(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, alone, run, meeting = (tmp_path / name for name in ("study.yaml", "alone", "run", "meeting"))
    study.write_text(tiny_study)
    meeting.mkdir()
    for folder in (alone, run):
        shutil.copytree(finished_run, folder)
        for stage in (*folder.glob("stages/generate.*"), *folder.glob("stages/score.*")):
            shutil.rmtree(stage)
    with monkeypatch.context() as patch:
        patch.setattr(generate_stages, "PROMPTS_PER_CHUNK", 1)
        run_study(Study.parse(tiny_study), alone, runtime, lambda number, total, name: None)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29532"]
    command = [sys.executable, *launch, str(Path(__file__)), str(study), str(run), str(meeting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": "off"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert len(list(meeting.iterdir())) == 2
    assert list_results(run) == list_results(alone)
    assert not any(path.name.endswith(".part") for path in (run / "stages").rglob("*"))


class Rows:
    """A stage with six chunks, and who computed them."""

    def __init__(self, on_chunk: Callable[[int], None]) -> None:
        self.on_chunk = on_chunk
        self.computed: dict[str, list[int]] = {}
        self.stage = Stage(name="rows", kind="rows", role="evaluation", execute=self._execute)

    def _execute(self, draft: Draft, inputs: Any, runtime: Runtime) -> dict[str, Any]:
        del inputs
        draft.compute_rows("rows", Chunking(num_rows=6, size=1, conditions=runtime.rounding_options), self._compute)
        return {}

    def _compute(self, rows: slice) -> list[dict[str, Any]]:
        self.computed.setdefault(threading.current_thread().name, []).append(rows.start)
        self.on_chunk(rows.start)
        return [{"row": rows.start}]


@contextmanager
def participating(folder: Path, stages: list[Stage], runtime: Runtime) -> Iterator[None]:
    """A second process, in a thread, from the start of the main process to its end."""
    main_process = MainProcess(folder=folder)
    participation = Participation(StageCache(Store(folder), None, {}, runtime), main_process)
    thread = threading.Thread(target=participation.take_part, args=(stages,), name="second")
    thread.start()
    try:
        yield
    finally:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def execute(stages: list[Stage], folder: Path, runtime: Runtime, signal: Heartbeat) -> list[str]:
    """Executes stages as the main process, and returns the names of those that failed."""
    (folder / "stages").mkdir()
    failed: list[str] = []

    def accept(stage: Stage, error: Exception) -> bool:
        failed.append(f"{stage.name}: {error}")
        return True

    StageScheduler(
        source=StageCache(Store(folder), None, {}, runtime),
        on_stage_start=lambda number, total, name: None,
        on_error=accept,
        locks=StageLocks(folder),
        signal=signal,
    ).execute(stages)
    return failed


def test_a_process_computes_chunks_and_leaves_out_a_training_without_labels(tmp_path: Path, runtime: Runtime) -> None:
    second_is_done, trained = threading.Event(), []

    def let_second_compute(row: int) -> None:
        if threading.current_thread().name == "second":
            if row == 5:
                second_is_done.set()
        elif row == 0:
            assert second_is_done.wait(WAIT_SECONDS)

    def find_no_labels(draft: Draft, inputs: Any, runtime: Runtime) -> dict[str, Any]:
        del draft, inputs, runtime
        trained.append(threading.current_thread().name)
        wait_until(lambda: len(trained) == 2, WAIT_SECONDS)
        raise NoLabelsError("no pair has a label")

    training = Stage(name="dpo.empty", kind="dpo", role="training", execute=find_no_labels)
    rows = Rows(let_second_compute)
    stages = [training, rows.stage]
    with participating(tmp_path, stages, runtime), heartbeat(tmp_path, interval=0.1) as signal:
        assert execute(stages, tmp_path, runtime, signal) == ["dpo.empty: dpo.empty: no pair has a label"]
    assert sorted(trained) == ["MainThread", "second"]
    assert rows.computed == {"MainThread": [0], "second": [1, 2, 3, 4, 5]}


def test_after_a_failure_no_training_starts_while_another_process_computes_a_chunk(
    tmp_path: Path, runtime: Runtime
) -> None:
    events: list[str] = []
    second_has_started, first_has_failed = threading.Event(), threading.Event()

    def fail_in_first(row: int) -> None:
        del row
        if threading.current_thread().name == "second":
            second_has_started.set()
            assert first_has_failed.wait(WAIT_SECONDS)
            time.sleep(0.5)
            events.append("chunk")
        else:
            assert second_has_started.wait(WAIT_SECONDS)
            first_has_failed.set()
            raise ModelError("out of memory")

    def train(draft: Draft, inputs: Any, runtime: Runtime) -> dict[str, Any]:
        del draft, inputs, runtime
        events.append("training")
        wait_until(lambda: events.count("training") == 2, WAIT_SECONDS)
        return {}

    rows = Rows(fail_in_first)
    stages = [rows.stage, Stage(name="sft", kind="sft", role="training", execute=train)]
    with participating(tmp_path, stages, runtime), heartbeat(tmp_path, interval=0.1) as signal:
        assert len(execute(stages, tmp_path, runtime, signal)) == 1
    assert events == ["chunk", "training", "training"]
    assert rows.computed == {"MainThread": [0], "second": [1]}


def test_a_process_with_another_plan_stops(tmp_path: Path, runtime: Runtime) -> None:
    participation = Participation(StageCache(Store(tmp_path), None, {}, runtime), MainProcess(folder=tmp_path))
    with heartbeat(tmp_path) as signal:
        signal.announce("0123456789ab")
        with pytest.raises(
            StoreError, match="the main process executes the stage 0123456789ab, which would be another"
        ):
            participation.take_part([])


if __name__ == "__main__":
    compute_with_one_prompt_per_chunk(*map(Path, sys.argv[1:]))
