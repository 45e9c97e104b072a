"""A folder is complete or a draft, finished work is reused, and equal rows give identical bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trimtab.errors import StoreError
from trimtab.storage.artifacts import Artifact, Draft, Store, open_artifact
from trimtab.storage.atomic import atomic_write_text, write_output
from trimtab.storage.recipe import Recipe

RECIPE = Recipe(stage="count", version=1, settings={"beta": 0.1, "seed": 3}, inputs={"split": "ab", "model": "cd"})
SCHEMA = pa.schema([("id", pa.string()), ("value", pa.float64())])
ROWS: list[dict[str, Any]] = [{"id": "one", "value": 1.0}, {"id": "two", "value": None}]
LOCK = """
import sys
from pathlib import Path
from trimtab.storage.artifacts import Store
with Store(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


# A symbolic link to it replaces the output file, so that the operating system reports a full disk.
needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")


class StopError(Exception):
    """Stops a stage."""


def write_two_rows(draft: Draft) -> Mapping[str, Any]:
    draft.write_rows("rows", ROWS, SCHEMA)
    return {"rows": len(ROWS)}


def fail_after_rows(draft: Draft) -> Mapping[str, Any]:
    draft.write_rows("rows", ROWS, SCHEMA)
    raise StopError


def make_draft(folder: Path) -> Draft:
    folder.mkdir(exist_ok=True)
    return Draft(folder=folder)


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    reordered = Recipe(
        stage="count", version=1, settings={"seed": 3, "beta": 0.1}, inputs={"model": "cd", "split": "ab"}
    )
    assert reordered.fingerprint == RECIPE.fingerprint
    assert len(RECIPE.fingerprint) == 12


@pytest.mark.parametrize(
    "other",
    [
        Recipe(stage="tally", version=1, settings=RECIPE.settings, inputs=RECIPE.inputs),
        Recipe(stage="count", version=2, settings=RECIPE.settings, inputs=RECIPE.inputs),
        Recipe(stage="count", version=1, settings={**RECIPE.settings, "beta": 0.2}, inputs=RECIPE.inputs),
        Recipe(stage="count", version=1, settings=RECIPE.settings, inputs={**RECIPE.inputs, "model": "ce"}),
    ],
)
def test_a_fingerprint_changes_with_each_part_of_the_recipe(other: Recipe) -> None:
    assert other.fingerprint != RECIPE.fingerprint


def test_an_artifact_is_found_and_not_created_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("count.x", RECIPE) is None
    artifact = store.get_or_create("count.x", RECIPE, write_two_rows)
    assert artifact.folder.name == f"count.x-{RECIPE.fingerprint}"
    assert artifact.read_rows("rows") == ROWS
    assert artifact.record["facts"] == {"rows": 2}
    # `fail_after_rows` would raise
    assert store.get_or_create("count.x", RECIPE, fail_after_rows) == store.find("count.x", RECIPE) == artifact


def test_the_record_is_written_last(tmp_path: Path) -> None:
    def check_no_record(draft: Draft) -> Mapping[str, Any]:
        assert not (draft.folder / "record.json").exists()
        return write_two_rows(draft)

    folder = Store(tmp_path).get_or_create("count", RECIPE, check_no_record).folder
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "rows.parquet"]


def test_a_folder_without_a_record_is_incomplete(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StopError):
        store.get_or_create("count", RECIPE, fail_after_rows)
    folder = store.folder("count", RECIPE)
    assert (folder / "rows.parquet").is_file()
    assert store.find("count", RECIPE) is None
    with pytest.raises(StoreError, match=rf"{folder.name} is not finished .*run the study again"):
        open_artifact(folder)
    assert store.get_or_create("count", RECIPE, write_two_rows).read_rows("rows") == ROWS


def test_the_time_of_a_failed_attempt_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StopError):
        store.get_or_create("count", RECIPE, fail_after_rows)
    elapsed = store.folder("count", RECIPE) / "elapsed.json"
    assert 0 <= json.loads(elapsed.read_text()) < 60
    elapsed.write_text("3600.0")
    assert 3600 <= store.get_or_create("count", RECIPE, write_two_rows).record["seconds"] < 3660
    assert not elapsed.exists()


@pytest.mark.parametrize("text", ["", '{"name": "cou', "not json"])
def test_a_damaged_record_gives_the_folder_and_the_fix(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    folder = store.get_or_create("count", RECIPE, write_two_rows).folder
    (folder / "record.json").write_text(text)
    with pytest.raises(StoreError, match=rf"record\.json is damaged .*; delete .*{folder.name} and run again"):
        store.find("count", RECIPE)


def test_equal_rows_give_identical_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_draft(tmp_path / name).write_rows("rows", [dict(row) for row in ROWS], SCHEMA)
    one, two = ((tmp_path / name / "rows.parquet").read_bytes() for name in ("one", "two"))
    assert one == two
    make_draft(tmp_path / "two").write_rows("rows", ROWS[:1], SCHEMA)
    assert (tmp_path / "two" / "rows.parquet").read_bytes() != one


def test_rows_and_json_values_survive_a_round_trip(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    draft.write_rows("rows", ROWS, SCHEMA)
    draft.write_json("notes", {"ä": [1, None]})
    artifact = Artifact(folder=draft.folder, record={})
    assert (artifact.read_rows("rows"), artifact.read_json("notes")) == (ROWS, {"ä": [1, None]})


def test_one_run_at_a_time_locks_a_folder_and_the_error_gives_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    command = [sys.executable, "-c", LOCK, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with (
            pytest.raises(StoreError, match=rf"in use by another run \(process {other.pid} on .*use --out"),
            store.lock(),
        ):
            pass
        other.kill()
    with store.lock():
        assert json.loads((store.root / "run.lock.json").read_text())["process"] == os.getpid()
    assert not (store.root / "run.lock.json").exists()


@needs_full_device
def test_a_full_disk_gives_the_fix_when_a_value_is_written(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    (draft.folder / "notes.json.writing").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=rf"no space left for {draft.folder}; free some space and run the same"):
        draft.write_json("notes", {"a": 1})
    assert not (draft.folder / "notes.json").exists()


@needs_full_device
def test_a_full_disk_gives_the_fix_when_a_table_is_written(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    (draft.folder / "rows.parquet.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=rf"no space left for {draft.folder}"):
        draft.write_rows("rows", ROWS, SCHEMA)
    assert not (draft.folder / "rows.parquet").exists()


def test_a_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "run")
    with (
        pytest.raises(StoreError, match=r"cannot write .*file/run: Not a directory; choose another folder with --out"),
        store.lock(),
    ):
        pass


def test_an_output_file_gets_its_folder_or_an_error_that_gives_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "text"
    write_output(path, "contents")
    assert path.read_text() == "contents"
    with pytest.raises(StoreError, match=r"cannot write .*deeper: it is a folder; give the path of a file"):
        write_output(path.parent, "a folder")
    with pytest.raises(StoreError, match=r"cannot write .*text/below: .*text is not a folder; choose another file"):
        write_output(path / "below", "below a file")


def test_a_file_is_never_partially_written(tmp_path: Path) -> None:
    path = tmp_path / "text"
    atomic_write_text(path, "before")
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(path, "partial \ud800")
    assert path.read_text() == "before"


def test_reading_rows_starts_no_thread_that_can_abort_the_exit(tmp_path: Path) -> None:
    """`pyarrow.dataset` reads in threads; a process that exits while one of them ends is killed by SIGABRT."""

    def make(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("rows", ROWS, SCHEMA)
        return {}

    Store(tmp_path).get_or_create("count", RECIPE, make)
    code = f"""
import sys
from pathlib import Path
from trimtab.storage.readers import parse_table
path = next(Path({str(tmp_path)!r}).rglob("rows.parquet"))
print(len(parse_table(path, path.read_bytes(), None, "")), "pyarrow.dataset" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["2", "False"], "")
