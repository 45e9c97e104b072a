"""Several processes execute the stages of one run: each stage once, with the results of a single process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from run_results import list_results, wait_until

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError, StudyError, TrainingError
from trimtab.pipeline import worker_processes
from trimtab.pipeline.engine_resources import ENGINE_PREFIX
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.joined_run import find_plan
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.plan.index import build_run_index
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_scheduler import StageScheduler
from trimtab.pipeline.stage_worker import execute_job
from trimtab.pipeline.stored_study import save_study
from trimtab.pipeline.worker_processes import WorkerProcesses, choose_workers, select_resources, share_cores
from trimtab.pipeline.worker_protocol import GPUS_VARIABLE, THREADS_VARIABLE, WorkerJob
from trimtab.storage.artifacts import Store
from trimtab.storage.stage_locks import STAGE_LOCKS_DIR, StageLocks
from trimtab.workflows.verify import verify_run


@pytest.mark.slow
def test_two_workers_give_the_results_of_one_process(
    tiny_study: str, finished_run: Path, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", "off")
    started: list[str] = []
    numbers: list[tuple[int, int]] = []

    def record_start(number: int, total: int, name: str) -> None:
        started.append(name)
        numbers.append((number, total))

    study = Study.parse(tiny_study)
    result = run_study(study, tmp_path, runtime, record_start, workers=2)
    assert sorted(numbers) == [(number, len(started)) for number in range(1, len(started) + 1)]
    assert sorted(started) == sorted(name.rpartition("-")[0] for name in result.created)
    assert len(set(started)) == len(started)
    assert result.reused == ()
    assert list_results(tmp_path) == list_results(finished_run)
    assert verify_run(tmp_path).problems == ()
    again = run_study(study, tmp_path, runtime, lambda number, total, name: None, workers=2)
    assert again.created == ()


def find_workers(run: Path) -> list[int]:
    """The process IDs of all workers of a run: the children of its main process that execute stages."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if b"trimtab.pipeline.stage_worker" in command and parent == str(run_process_id(run)):
            found.append(int(folder.name))
    return found


def run_process_id(run: Path) -> int:
    try:
        return int(json.loads((run / "run.lock.json").read_text())["process"])
    except (OSError, ValueError):
        return -1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_a_killed_run_ends_its_workers_and_a_killed_worker_does_not_end_the_run(
    tiny_study: str, finished_run: Path, tmp_path: Path
) -> None:
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(tiny_study)
    command = [sys.executable, "-m", "trimtab", "run", str(study), "--out", str(run), "--workers", "2"]
    environment = {**os.environ, THREADS_VARIABLE: "1", "TRIMTAB_LOGPROB_CACHE": "off"}

    messages = tmp_path / "messages"

    def start() -> subprocess.Popen[bytes]:
        with messages.open("w") as log:
            return subprocess.Popen(command, env=environment, stderr=log, stdout=subprocess.DEVNULL)

    process = start()
    wait_until(lambda: any(run.glob("stages/sft.*/checkpoint-*")) or any(run.glob("stages/generate.*")))
    workers = find_workers(run)
    assert len(workers) == 1
    process.kill()
    process.wait()
    wait_until(lambda: not Path(f"/proc/{workers[0]}").exists(), 20)

    process = start()
    wait_until(lambda: run_process_id(run) == process.pid and find_workers(run))
    os.kill(find_workers(run)[0], signal.SIGKILL)
    text = " ".join(messages.read_text().split()) if process.wait(300) in (0, 1) else ""
    assert process.returncode == 0, text[-3000:]
    assert "worker 1 ended with status -9; the run continues without it" in text
    assert list_results(run) == list_results(finished_run)


def build_stage(name: str, execute: Callable[[], None] = lambda: None, **options: Any) -> Stage:
    def run(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        del draft, inputs, runtime
        execute()
        return {}

    return Stage(name=name, kind=name, execute=run, **options)


def build_scheduler(folder: Path, runtime: Runtime, **options: Any) -> StageScheduler:
    (folder / "stages").mkdir(exist_ok=True)
    source = StageCache(Store(folder), None, {}, runtime)
    return StageScheduler(source=source, on_stage_start=lambda *_: None, locks=StageLocks(folder), **options)


def test_a_stage_waits_for_its_inputs_in_another_process_and_others_go_first(tmp_path: Path, runtime: Runtime) -> None:
    order: list[str] = []
    first_runs, second_is_done = threading.Event(), threading.Event()

    def run_first() -> None:
        first_runs.set()
        assert second_is_done.wait(10)
        order.append("first")

    def run_second() -> None:
        order.append("second")
        second_is_done.set()

    first = build_stage("first", run_first)
    stages = [first, build_stage("needs-first", lambda: order.append("third"), input_stages={"in": first})]
    stages.append(build_stage("second", run_second))
    other = threading.Thread(target=build_scheduler(tmp_path, runtime).execute, args=([first],))
    other.start()
    assert first_runs.wait(10)
    created: list[str] = []
    build_scheduler(tmp_path, runtime, on_stage_created=created.append).execute(stages)
    other.join()
    assert order == ["second", "first", "third"]
    assert [name.rpartition("-")[0] for name in created] == ["second", "needs-first"]


def test_two_stages_with_one_engine_take_turns(tmp_path: Path, runtime: Runtime) -> None:
    engine = {f"{ENGINE_PREFIX}weak": "hash of a server"}
    running: list[str] = []
    overlaps: list[list[str]] = []

    def run_slowly() -> None:
        running.append("x")
        overlaps.append(list(running))
        time.sleep(0.3)
        running.pop()

    stages = [build_stage(name, run_slowly, external_hashes=engine) for name in ("a", "b")]
    threads = [
        threading.Thread(target=build_scheduler(tmp_path, runtime).execute, args=(order,))
        for order in (stages, stages[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [["x"], ["x"]]


def test_stages_after_one_that_failed_are_not_executed(tmp_path: Path, runtime: Runtime) -> None:
    def fail() -> None:
        raise TrainingError("no")

    done: list[str] = []
    bad = build_stage("bad", fail)
    stages = [
        bad,
        build_stage("after-bad", lambda: done.append("after-bad"), input_stages={"in": bad}),
        build_stage("good", lambda: done.append("good")),
    ]
    errors: list[str] = []

    def accept(stage: Stage, error: Exception) -> bool:
        errors.append(f"{stage.name} | {error}")
        return True

    build_scheduler(tmp_path, runtime, on_error=accept).execute(stages)
    assert (done, errors) == (["good"], ["bad | bad: no"])
    with pytest.raises(TrainingError, match="bad: no"):
        build_scheduler(tmp_path, runtime).execute(stages)


def test_locks_are_acquired_all_or_none(tmp_path: Path) -> None:
    locks = StageLocks(tmp_path)
    with locks.try_acquire(["b"]) as has_b:
        with locks.try_acquire(["c", "b", "a"]) as has_all:
            assert (has_b, has_all) == (True, False)
        with locks.try_acquire(["a", "c"]) as has_others:
            assert has_others
    assert {path.name for path in (tmp_path / STAGE_LOCKS_DIR).iterdir()} == {"a.lock", "b.lock", "c.lock"}


def test_workers_take_gpus_in_turn_and_share_the_cores(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv(GPUS_VARIABLE, raising=False)
    assert [select_resources("cuda:2", number)[GPUS_VARIABLE] for number in (1, 2, 3)] == ["3", "0", "1"]
    assert select_resources("cuda", 5) == {GPUS_VARIABLE: "1"}
    monkeypatch.setenv(GPUS_VARIABLE, "7,GPU-a,2,3")
    assert select_resources("cuda:0", 1) == {GPUS_VARIABLE: "GPU-a"}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert select_resources("cuda", 1) == select_resources("mps", 1) == {}
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        assert (choose_workers(runtime), choose_workers(replace(runtime, world_size=2))) == (2, 1)
        with share_cores(2, runtime):
            assert select_resources("cpu", 1) == {THREADS_VARIABLE: "3"}
            assert (torch.get_num_threads(), THREADS_VARIABLE in os.environ) == (3, False)
        assert torch.get_num_threads() == 6
        torch.set_num_threads(1)
        assert choose_workers(runtime) == 1
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv(THREADS_VARIABLE, "5")
    with share_cores(4, runtime):
        assert torch.get_num_threads() == threads


def test_several_training_processes_refuse_workers(tiny_study: str, tmp_path: Path, runtime: Runtime) -> None:
    distributed = replace(runtime, world_size=2)
    with pytest.raises(StudyError, match="--workers: not for a study that several processes train"):
        run_study(Study.parse(tiny_study), tmp_path, distributed, lambda *_: None, workers=2)


def test_at_least_one_process_executes_a_run(tiny_study: str, tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(StudyError, match="workers: 0, expected 1 or more"):
        run_study(Study.parse(tiny_study), tmp_path, runtime, lambda *_: None, workers=0)


class Uncertain(Component):
    """A scorer that works in no process."""

    def score(self, completions: Sequence[Any], runtime: Runtime) -> list[Any]:
        raise TrainingError("it is broken")

    def content_hash(self) -> str:
        return "broken"


def start_run(study: Study, finished_run: Path, folder: Path) -> None:
    """A run of `study` with the finished stages of another run, as its workers see it when they begin."""
    shutil.copytree(finished_run, folder)
    save_study(study, folder)
    plan = find_plan(study, Store(folder))
    assert plan is not None
    build_run_index(study, plan, Store(folder), []).save(folder)


def test_a_worker_shows_an_error_and_leaves_the_stage_to_the_main_process(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime
) -> None:
    folder = tmp_path / "run"
    study = Study.parse(tiny_study, [f'scorers={{gone: {{kind: "{__name__}:Uncertain"}}}}'])
    start_run(study, finished_run, folder)
    job = WorkerJob.build(folder, None, runtime)
    messages: list[tuple[Any, ...]] = []
    execute_job(WorkerJob.parse(job.to_line()), lambda *message: messages.append(message))
    error = "score.base.gone: it is broken; the main process executes score.base.gone again"
    assert ("notify", error) in messages
    assert {message[0] for message in messages} == {"start", "notify"}


def test_a_worker_with_other_weights_does_no_work(
    finished_run: Path,
    tiny_study: str,
    tiny_model: Path,
    tmp_path: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from safetensors.torch import load_file, save_file

    monkeypatch.setattr("trimtab.pipeline.joined_run.INDEX_SECONDS", 0.0)
    model, folder = tmp_path / "model", tmp_path / "run"
    shutil.copytree(tiny_model, model)
    study = Study.parse(tiny_study, [f"models.{name}.base={model}" for name in ("weak", "student")])
    start_run(study, finished_run, folder)
    weights = load_file(model / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, model / "model.safetensors", {"format": "pt"})
    messages: list[tuple[Any, ...]] = []
    with pytest.raises(
        StoreError, match=r"split would be another stage here than in the run; use the same files, models"
    ):
        execute_job(WorkerJob.build(folder, None, runtime), lambda *message: messages.append(message))
    assert messages == []
    assert list_results(folder) == list_results(finished_run)


def test_the_index_is_written_while_another_process_finishes_a_stage(
    finished_run: Path, tiny_study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*_: Any) -> None:
        raise FileNotFoundError("checkpoint-20")

    study = Study.parse(tiny_study)
    monkeypatch.setattr(Path, "rglob", vanish)
    index = build_run_index(study, build_plan(study), Store(finished_run), [])
    assert sorted(index.stages) == sorted(folder.name for folder in (finished_run / "stages").iterdir())


def start_workers(folder: Path, runtime: Runtime, count: int = 1) -> WorkerProcesses:
    workers = WorkerProcesses(count=count, runtime=runtime, on_stage_start=lambda *_: None)
    workers.start(folder, None)
    return workers


def wait_for_notice(notices: list[str], text: str) -> None:
    wait_until(lambda: any(text in notice for notice in notices))


def test_a_worker_that_dies_before_it_reads_its_job_is_a_notice(
    tmp_path: Path, runtime: Runtime, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_processes, "WORKER_CODE", "raise SystemExit(3)")
    long_job = replace(runtime, trainer_arguments={"run_name": "long " * 30_000})
    workers = start_workers(tmp_path, long_job)
    wait_for_notice(notices, "worker 1 ended with status 3; the run continues without it")
    workers.begin()
    workers.stop()


def test_workers_end_without_a_notice_if_a_check_fails(tmp_path: Path, runtime: Runtime, notices: list[str]) -> None:
    workers = start_workers(tmp_path, runtime, 2)
    processes = [child.process for child in workers._processes]
    workers.stop()
    assert [process.poll() is None for process in processes] == [False, False]
    assert notices == []


def test_a_component_that_a_worker_cannot_import_is_a_notice(
    finished_run: Path,
    tiny_study: str,
    tmp_path: Path,
    runtime: Runtime,
    notices: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notebook = ModuleType("notebook_cell")
    notebook.Cell = type("Cell", (Uncertain,), {"__module__": "notebook_cell"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "notebook_cell", notebook)
    monkeypatch.setattr(sys, "path", [*sys.path, Path("not-text")])
    (tmp_path / "filelock.py").write_text("raise SystemExit('a file of the working directory')")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    start_run(Study.parse(tiny_study, ['scorers={x: {kind: "notebook_cell:Cell"}}']), finished_run, folder)
    workers = start_workers(folder, runtime)
    try:
        workers.begin()
        wait_for_notice(notices, "worker 1 ended with status 1")
        assert "study.yaml cannot be executed here:\nscorers.x.kind: cannot load 'notebook_cell:Cell'" in notices[0]
        assert "no module 'notebook_cell'" in notices[0]
    finally:
        workers.stop()
