"""Processes without a stage of their own compute chunks of the stages that others execute."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from run_results import list_results, wait_until

from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError, StoreError, TrimtabError
from trimtab.pipeline.joined_run import join_run
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_scheduler import StageScheduler
from trimtab.pipeline.stages import generate as generate_stages
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.chunks import Chunking, ChunkTable
from trimtab.storage.stage_locks import StageLocks

NUM_ROWS = 6
SCHEMA = pa.schema([("row", pa.int64())])
WAIT_SECONDS = 30


class Execution:
    """Schedulers in threads that execute one stage, and who computed which of its chunks."""

    def __init__(self, folder: Path, runtime: Runtime, num_rows: int = NUM_ROWS) -> None:
        self.folder = folder
        self.runtime = runtime
        self.num_rows = num_rows
        self.chunks: dict[str, list[int]] = {}
        self.computed_for_others: list[tuple[int, str]] = []
        self.on_chunk: Callable[[], None] = lambda: None
        self.errors: dict[str, Exception] = {}
        self.is_executed = threading.Event()

    def execute(self, runtime: Runtime) -> None:
        (self.folder / "stages").mkdir(exist_ok=True)
        StageScheduler(
            source=StageCache(Store(self.folder), None, {}, runtime),
            on_stage_start=lambda *_: None,
            locks=StageLocks(self.folder),
            on_chunks=lambda count, name: self.computed_for_others.append((count, name)),
        ).execute([Stage(name="table", kind="table", execute=self._make_table)])

    def start(self, name: str, runtime: Runtime | None = None) -> threading.Thread:
        def run() -> None:
            try:
                self.execute(runtime or self.runtime)
            except (TrimtabError, OSError) as error:
                self.errors[name] = error

        thread = threading.Thread(target=run, name=name)
        thread.start()
        return thread

    def _make_table(self, draft: Draft, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        del inputs
        chunking = Chunking(num_rows=self.num_rows, size=1, conditions=runtime.rounding_options)
        draft.write_rows("rows", draft.compute_rows("rows", chunking, self._compute), SCHEMA)
        return {}

    def _compute(self, rows: slice) -> list[dict[str, Any]]:
        self.chunks.setdefault(threading.current_thread().name, []).append(rows.start)
        self.is_executed.set()
        self.on_chunk()
        return [{"row": row} for row in range(rows.start, rows.stop)]

    def read_rows(self) -> list[int]:
        (folder,) = (self.folder / "stages").iterdir()
        assert self.errors == {}
        assert sorted(path.name for path in folder.iterdir()) == ["record.json", "rows.parquet"]
        stage = Stage(name="table", kind="table", execute=self._make_table)
        artifact = Store(self.folder).find("table", stage.recipe)
        assert artifact is not None
        return [row["row"] for row in artifact.read_rows("rows")]


def run_first_until_released(execution: Execution) -> tuple[threading.Thread, threading.Event]:
    """A thread that executes the stage and stays in its first chunk until the event is set."""
    release = threading.Event()

    def wait_in_first() -> None:
        if threading.current_thread().name == "first":
            assert release.wait(WAIT_SECONDS)

    execution.on_chunk = wait_in_first
    first = execution.start("first")
    assert execution.is_executed.wait(WAIT_SECONDS)
    return first, release


def test_a_second_worker_computes_the_chunks_that_the_first_has_not_claimed(tmp_path: Path, runtime: Runtime) -> None:
    execution = Execution(tmp_path, runtime)
    first, release = run_first_until_released(execution)
    second = execution.start("second")
    while not execution.computed_for_others:
        second.join(0.01)
    release.set()
    first.join()
    second.join()
    assert execution.chunks == {"first": [0], "second": [1, 2, 3, 4, 5]}
    assert execution.computed_for_others == [(5, "table")]
    assert execution.read_rows() == list(range(NUM_ROWS))


def test_more_workers_than_chunks_compute_each_chunk_once(tmp_path: Path, runtime: Runtime) -> None:
    execution = Execution(tmp_path, runtime, num_rows=2)
    first, release = run_first_until_released(execution)
    others = [execution.start(name) for name in ("second", "third", "fourth")]
    while not execution.computed_for_others:
        first.join(0.01)
    release.set()
    for thread in (first, *others):
        thread.join()
    assert sorted(start for starts in execution.chunks.values() for start in starts) == [0, 1]
    assert execution.read_rows() == [0, 1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelError("too large for this GPU"), "too large for this GPU"),
        (RuntimeError("out of memory"), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left for"),
    ],
)
def test_a_worker_whose_chunk_fails_leaves_the_stage_to_the_others(
    tmp_path: Path, runtime: Runtime, notices: list[str], error: Exception, message: str
) -> None:
    execution = Execution(tmp_path, runtime)
    first, release = run_first_until_released(execution)
    wait_in_first = execution.on_chunk

    def fail_in_second() -> None:
        wait_in_first()
        if threading.current_thread().name == "second":
            raise error

    execution.on_chunk = fail_in_second
    second = execution.start("second")
    while not notices:
        second.join(0.01)
    release.set()
    first.join()
    second.join()
    assert execution.chunks == {"first": [0, 1, 2, 3, 4, 5], "second": [1]}
    assert len(notices) == 1
    assert message in notices[0]
    assert "this process computes no more chunks of table" in notices[0]
    assert execution.read_rows() == list(range(NUM_ROWS))


def test_a_worker_that_cannot_read_the_chunks_of_a_stage_leaves_it_to_the_others(
    tmp_path: Path, runtime: Runtime, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = Execution(tmp_path, runtime)
    first, release = run_first_until_released(execution)

    def fail(table: ChunkTable, start: int) -> bool:
        raise OSError(errno.ESTALE, "Stale file handle", str(table.folder / str(start)))

    monkeypatch.setattr(ChunkTable, "is_open", fail)
    second = execution.start("second")
    while not notices:
        second.join(0.01)
    release.set()
    first.join()
    second.join()
    assert execution.chunks == {"first": [0, 1, 2, 3, 4, 5]}
    assert len(notices) == 1
    assert "Stale file handle" in notices[0]
    assert "this process computes no more chunks of table" in notices[0]


def test_a_truncated_chunk_is_computed_again_by_the_process_that_executes_the_stage(
    tmp_path: Path, runtime: Runtime
) -> None:
    execution = Execution(tmp_path, runtime)
    first, release = run_first_until_released(execution)
    (folder,) = (tmp_path / "stages").iterdir()
    path = folder / "rows-000000003.part"
    ChunkTable(folder, "rows", NUM_ROWS, 1, {}).save(3, b'{"row": 3}\n')
    path.write_bytes(path.read_bytes()[:-1])
    second = execution.start("second")
    while not execution.computed_for_others:
        second.join(0.01)
    release.set()
    first.join()
    second.join()
    assert execution.chunks == {"first": [0, 3], "second": [1, 2, 4, 5]}
    assert execution.read_rows() == list(range(NUM_ROWS))


def test_processes_whose_folder_is_removed_end_with_an_error_that_names_it(
    tmp_path: Path, runtime: Runtime, notices: list[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    execution = Execution(run, runtime)
    first, release = run_first_until_released(execution)
    wait_in_first = execution.on_chunk

    def remove_in_second() -> None:
        wait_in_first()
        if threading.current_thread().name == "second":
            shutil.rmtree(run)

    execution.on_chunk = remove_in_second
    second = execution.start("second")
    second.join()
    release.set()
    first.join()
    assert sorted(execution.errors) == ["first", "second"]
    for error in execution.errors.values():
        assert isinstance(error, StoreError)
        assert f"{run}/" in str(error)
        assert "was removed while it was in use; run the same command again to recreate it" in str(error)
    assert not run.exists()


def test_a_worker_with_other_options_computes_no_chunks_and_says_why(
    tmp_path: Path, runtime: Runtime, notices: list[str]
) -> None:
    execution = Execution(tmp_path, runtime)
    first, release = run_first_until_released(execution)
    second = execution.start("second", replace(runtime, token_budget=64))
    while not notices:
        second.join(0.01)
    release.set()
    first.join()
    second.join()
    assert notices == [
        "this process computes no chunks for others: it has device cpu, token_budget 64, and the process that executes table "
        "device cpu, token_budget 1024; use the same options"
    ]
    assert execution.chunks == {"first": [0, 1, 2, 3, 4, 5]}


NUM_PROCESSES = 3


def work_on_generation(run: Path, meeting: Path, *, dies: bool) -> None:
    """Executes the missing stages of a run, with one prompt per chunk.

    Its first chunk waits until all processes compute one; then it is computed, or the process is killed.
    """
    import torch

    from trimtab.models.inference import generate

    torch.set_num_threads(1)
    generate_stages.PROMPTS_PER_CHUNK = 1
    sample_completions, marker = generate.sample_completions, meeting / str(os.getpid())

    def meet_and_sample(*arguments: Any) -> Any:
        if not marker.exists():
            marker.touch()
            wait_until(lambda: len(list(meeting.iterdir())) == NUM_PROCESSES, 300)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
        return sample_completions(*arguments)

    generate.sample_completions = meet_and_sample  # type: ignore[assignment]
    runtime = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)
    join_run(run, runtime, lambda number, total, name: None, wait_seconds=0)


@pytest.mark.slow
def test_processes_of_which_one_is_killed_generate_the_bytes_of_one_process(
    finished_run: Path, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, run, meeting = tmp_path / "alone", tmp_path / "run", tmp_path / "meeting"
    meeting.mkdir()
    for folder in (alone, run):
        shutil.copytree(finished_run, folder)
        for stage in folder.glob("stages/generate.base-*"):
            shutil.rmtree(stage)
    with monkeypatch.context() as patch:
        patch.setattr(generate_stages, "PROMPTS_PER_CHUNK", 1)
        join_run(alone, runtime, lambda number, total, name: None, wait_seconds=0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, str(Path(__file__)), str(run), str(meeting), role], env=environment)
        for role in ("works", "works", "dies")
    ]
    assert [process.wait(600) for process in processes] == [0, 0, -signal.SIGKILL]
    assert len(list(meeting.iterdir())) == NUM_PROCESSES
    assert list_results(run) == list_results(alone)
    (folder,) = run.glob("stages/generate.base-*")
    assert {path.suffix for path in folder.iterdir()} == {".json", ".parquet"}


if __name__ == "__main__":
    work_on_generation(Path(sys.argv[1]), Path(sys.argv[2]), dies=sys.argv[3] == "dies")
