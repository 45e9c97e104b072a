"""Stages that several runs share: found by recipe and contents, computed once, independent of each other."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import StoreError
from trimtab.storage.artifacts import Artifact, Draft, Store
from trimtab.storage.recipe import Recipe
from trimtab.storage.shared_store import INCOMING_DIR, SharedStore, compute_content_id

RECIPE = Recipe(stage="numbers", version=1, settings={"count": 3})
LATER = Recipe(stage="sum", version=1, inputs={"numbers": RECIPE.fingerprint})


class Maker:
    """Writes one number and counts how often it was called."""

    def __init__(self, value: int = 1) -> None:
        self.value, self.calls = value, 0

    def __call__(self, draft: Draft) -> Mapping[str, Any]:
        self.calls += 1
        draft.write_json("value", self.value)
        (draft.folder / "model").mkdir(exist_ok=True)
        (draft.folder / "model" / "weights").write_bytes(bytes(range(8)))
        return {"made": self.value}


def create(
    shared: SharedStore, run: Path, make: Maker, name: str = "numbers", inputs: Mapping[str, str | None] | None = None
) -> Artifact:
    recipe = RECIPE if inputs is None else LATER
    return shared.get_or_create(Store(run), name, recipe, inputs or {}, make, lambda message: None)


@pytest.fixture
def shared(tmp_path: Path) -> SharedStore:
    return SharedStore(tmp_path / "store")


def test_a_second_run_gets_the_stage_without_computing_it(shared: SharedStore, tmp_path: Path) -> None:
    first, second = Maker(), Maker()
    create(shared, tmp_path / "one", first)
    artifact = create(shared, tmp_path / "two", second, "other-name")
    assert (first.calls, second.calls) == (1, 0)
    assert artifact.folder.name == f"other-name-{RECIPE.fingerprint}"
    assert artifact.read_json("value") == 1
    assert (artifact.folder / "model" / "weights").stat().st_nlink == 3
    # empty, but not deleted: another process can be about to create a folder in it
    assert list((tmp_path / "two" / INCOMING_DIR).iterdir()) == []


def test_a_run_survives_the_deletion_of_the_store_and_of_other_runs(shared: SharedStore, tmp_path: Path) -> None:
    import shutil

    create(shared, tmp_path / "one", Maker())
    artifact = create(shared, tmp_path / "two", Maker())
    shutil.rmtree(shared.root)
    shutil.rmtree(tmp_path / "one")
    assert artifact.read_json("value") == 1
    assert create(shared, tmp_path / "three", Maker(2)).read_json("value") == 2


def test_a_stage_made_from_other_contents_is_not_shared(shared: SharedStore, tmp_path: Path) -> None:
    contents = {"numbers": compute_content_id(create(shared, tmp_path / "one", Maker(1)).record)}
    create(shared, tmp_path / "one", Maker(10), "sum", contents)
    own = Store(tmp_path / "two").get_or_create("numbers", RECIPE, Maker(2))
    other = {"numbers": compute_content_id(own.record)}
    assert shared.find(LATER, contents) is not None
    assert shared.find(LATER, other) is None
    assert create(shared, tmp_path / "two", Maker(20), "sum", other).read_json("value") == 20
    assert shared.find(LATER, other) != shared.find(LATER, contents)


def test_contents_without_hashes_are_never_shared(shared: SharedStore, tmp_path: Path) -> None:
    assert compute_content_id({"fingerprint": "old"}) is None
    for run in ("one", "two"):
        make = Maker()
        create(shared, tmp_path / run, make, "sum", {"numbers": None})
        assert make.calls == 1
    assert not shared.root.exists()


def test_a_finished_stage_of_a_run_is_added_once(shared: SharedStore, tmp_path: Path) -> None:
    artifact = Store(tmp_path / "one").get_or_create("numbers", RECIPE, Maker())
    for _ in range(2):
        shared.add(artifact, RECIPE, {})
    assert len(list(shared.root.glob("stages/*"))) == 1
    assert create(shared, tmp_path / "two", make := Maker()).read_json("value") == 1
    assert make.calls == 0


def test_two_runs_at_once_compute_a_stage_once(shared: SharedStore, tmp_path: Path) -> None:
    started, finish = threading.Event(), threading.Event()
    notices: list[str] = []
    first, second = Maker(), Maker()

    def slow(draft: Draft) -> Mapping[str, Any]:
        started.set()
        assert finish.wait(20)
        return first(draft)

    def notify(message: str) -> None:
        notices.append(message)
        finish.set()

    def compute() -> None:
        shared.get_or_create(Store(tmp_path / "one"), "numbers", RECIPE, {}, slow, notices.append)

    thread = threading.Thread(target=compute)
    thread.start()
    assert started.wait(20)
    artifact = shared.get_or_create(Store(tmp_path / "two"), "numbers", RECIPE, {}, second, notify)
    thread.join()
    assert (first.calls, second.calls) == (1, 0)
    assert artifact.folder.parent.parent == tmp_path / "two"
    assert notices == [
        f"numbers: waiting for process {os.getpid()} on {os.uname().nodename}, which runs the same stage"
    ]


KILLED = """
import sys, time
from pathlib import Path
from trimtab.storage.artifacts import Store
from trimtab.storage.recipe import Recipe
from trimtab.storage.shared_store import SharedStore

def make(draft):
    draft.write_json("value", 0)
    print("working", flush=True)
    time.sleep(60)

recipe = Recipe(stage="numbers", version=1, settings={"count": 3})
SharedStore(Path(sys.argv[1])).get_or_create(Store(Path(sys.argv[2])), "numbers", recipe, {}, make, print)
"""


def test_a_killed_run_blocks_no_other_and_takes_the_stage_from_it(shared: SharedStore, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", KILLED, str(shared.root), str(tmp_path / "one")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGKILL)
    start = time.monotonic()
    assert create(shared, tmp_path / "two", Maker()).read_json("value") == 1
    assert time.monotonic() - start < 10
    resumed = Maker(3)
    assert create(shared, tmp_path / "one", resumed).read_json("value") == 1
    assert resumed.calls == 0


def test_a_stage_that_fails_can_be_computed_by_the_next_run(shared: SharedStore, tmp_path: Path) -> None:
    def fail(draft: Draft) -> Mapping[str, Any]:
        raise ValueError(str(draft.folder))

    with pytest.raises(ValueError, match="numbers-"):
        shared.get_or_create(Store(tmp_path / "one"), "numbers", RECIPE, {}, fail, lambda message: None)
    assert shared.find(RECIPE, {}) is None
    assert create(shared, tmp_path / "two", Maker()).read_json("value") == 1


def test_a_folder_that_was_being_copied_is_not_a_stage(shared: SharedStore, tmp_path: Path) -> None:
    create(shared, tmp_path / "one", Maker())
    leftover = tmp_path / "two" / INCOMING_DIR / f"numbers-{RECIPE.fingerprint}"
    leftover.mkdir(parents=True)
    (leftover / "value.json").write_text("damaged")
    assert Store(tmp_path / "two").find("numbers", RECIPE) is None
    assert create(shared, tmp_path / "two", Maker()).read_json("value") == 1
    assert not leftover.exists()


def test_a_damaged_shared_stage_is_reported_with_its_folder(shared: SharedStore, tmp_path: Path) -> None:
    create(shared, tmp_path / "one", Maker())
    folder = shared.find(RECIPE, {})
    assert folder is not None
    (folder / "value.json").unlink()
    with pytest.raises(StoreError, match=rf"{folder}/value\.json is damaged .*delete {folder} and run again"):
        create(shared, tmp_path / "two", Maker())


def test_files_are_copied_where_hard_links_are_impossible(
    shared: SharedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    create(shared, tmp_path / "one", Maker())
    artifact = create(shared, tmp_path / "two", Maker())
    assert (artifact.folder / "model" / "weights").stat().st_nlink == 1
    assert artifact.read_json("value") == 1


def test_a_store_that_cannot_be_written_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*store: Not a directory; choose another folder with --store"):
        create(SharedStore(tmp_path / "file" / "store"), tmp_path / "one", Maker())
