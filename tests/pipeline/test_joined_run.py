"""`trimtab work` executes stages of a run that another process has started, with the same results."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from run_results import list_results, wait_until

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StoreError
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.joined_run import join_run
from trimtab.pipeline.run_index import RunIndex, load_run_index
from trimtab.storage.shared_store import SharedStore
from trimtab.types import Completion, Score


class Broken(Component):
    """A scorer that cannot score."""

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise DataError("the scorer's model is gone")

    def content_hash(self) -> str:
        return "broken"


def ignore_start(number: int, total: int, name: str) -> None:
    del number, total, name


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def remove_stages(run: Path, pattern: str) -> list[str]:
    folders = list((run / "stages").glob(pattern))
    for folder in folders:
        shutil.rmtree(folder)
    return [folder.name for folder in folders]


def test_missing_stages_are_executed_with_the_same_results(run: Path, finished_run: Path, runtime: Runtime) -> None:
    missing = remove_stages(run, "generate.weak-*") + remove_stages(run, "annotate.*")
    started: list[str] = []
    result = join_run(run, runtime, lambda number, total, name: started.append(name), wait_seconds=0)
    assert len(missing) > 1
    assert sorted(result.created) == sorted(missing)
    assert sorted(started) == sorted(name.rpartition("-")[0] for name in missing)
    assert result.failed == {}
    assert list_results(run) == list_results(finished_run)
    assert load_run_index(run) == load_run_index(finished_run)  # only `trimtab run` writes it
    assert join_run(run, runtime, ignore_start, wait_seconds=0).created == ()


def test_a_stage_that_fails_is_left_out(run: Path, tiny_study: str, runtime: Runtime) -> None:
    study = Study.parse(tiny_study, [f'scorers={{gone: {{kind: "{__name__}:Broken"}}}}'])
    run_study(study, run, runtime, ignore_start)
    messages: list[str] = []
    result = join_run(run, replace(runtime, notify=messages.append), ignore_start, wait_seconds=0)
    assert result.failed["score.base.gone"] == "score.base.gone: the scorer's model is gone"
    assert "the stage is left to the process of `trimtab run`" in " ".join(messages)


def test_a_folder_without_a_run_is_an_error_after_the_wait(tmp_path: Path, runtime: Runtime) -> None:
    messages: list[str] = []
    with pytest.raises(
        StoreError, match=r"holds no run; start it with: trimtab run STUDY\.yaml --out .* \(waited 0 s\)"
    ):
        join_run(tmp_path, runtime, ignore_start, wait_seconds=0)
    with pytest.raises(StoreError, match=r"waited 0\.01 s"):
        join_run(tmp_path, replace(runtime, notify=messages.append), ignore_start, wait_seconds=0.01)
    assert len(messages) == 1
    assert "waiting up to 0.01 s" in messages[0]


def test_a_file_is_refused_at_once(tmp_path: Path, runtime: Runtime) -> None:
    (tmp_path / "study.yaml").write_text("name: x")
    with pytest.raises(StoreError, match=r"study\.yaml is a file; give the folder of a run"):
        join_run(tmp_path / "study.yaml", runtime, ignore_start, wait_seconds=0)


def test_a_store_that_does_not_exist_is_not_created(run: Path, runtime: Runtime, tmp_path: Path) -> None:
    remove_stages(run, "generate.weak-*")
    with pytest.raises(StoreError, match=r"--store .*typo: no such folder; give the one that `trimtab run` was"):
        join_run(run, runtime, ignore_start, SharedStore(tmp_path / "typo"), wait_seconds=0)
    assert not (tmp_path / "typo").exists()


def change_index(run: Path, change: Callable[[RunIndex], dict[str, object]]) -> None:
    index = load_run_index(run)
    index.model_copy(update=change(index)).save(run)


def test_another_version_is_refused_at_once(run: Path, runtime: Runtime) -> None:
    change_index(run, lambda index: {"trimtab_version": "0.0.7"})
    with pytest.raises(StoreError, match=r"is a run of Trimtab 0\.0\.7, and this is "):
        join_run(run, runtime, ignore_start, wait_seconds=0)


def test_a_run_without_its_split_is_waited_for(run: Path, runtime: Runtime) -> None:
    remove_stages(run, "split-*")
    with pytest.raises(StoreError, match="the split is not finished"):
        join_run(run, runtime, ignore_start, wait_seconds=0)


def test_a_study_of_another_run_is_waited_for(run: Path, runtime: Runtime) -> None:
    change_index(run, lambda index: {"study_sha256": "0" * 64})
    with pytest.raises(StoreError, match=r"study\.yaml and run\.json belong to different runs"):
        join_run(run, runtime, ignore_start, wait_seconds=0)


def test_other_weights_are_refused_with_the_first_stage_that_differs(
    run: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting cannot help, except for the time that a run needs to write its index after it was started again."""
    monkeypatch.setattr("trimtab.pipeline.joined_run.INDEX_SECONDS", 0.0)
    stages = load_run_index(run).stages
    other = f"{stages[3].rpartition('-')[0]}-000000000000"
    change_index(run, lambda index: {"stages": (*stages[:3], other, *stages[4:])})
    with pytest.raises(StoreError, match="would be another stage here than in the run; use the same files, models"):
        join_run(run, runtime, ignore_start, wait_seconds=600)


@pytest.mark.slow
def test_a_run_finishes_with_a_second_process_that_is_killed_and_a_third(
    tiny_study: str, finished_run: Path, tmp_path: Path
) -> None:
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(tiny_study)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": "off"}
    log = tmp_path / "messages"

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with log.open("a") as stderr:
            command = [sys.executable, "-m", "trimtab", *arguments]
            return subprocess.Popen(command, env=environment, stderr=stderr, stdout=subprocess.DEVNULL)

    second = start("work", str(run), "--wait", "200")  # before the run
    main = start("run", str(study), "--out", str(run))
    wait_until(lambda: any(run.glob("stages/sft.*/record.json")))
    second.kill()
    second.wait()
    third = start("work", str(run))
    assert (main.wait(400), third.wait(100)) == (0, 0), log.read_text()[-3000:]
    assert list_results(run) == list_results(finished_run)
