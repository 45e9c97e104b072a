"""A folder is finished or it is not, what was done is not done again, and the same work gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trimtab.errors import StoreError
from trimtab.storage.artifacts import Artifact, Draft, Recipe, Store, atomic_write_text, open_artifact, write_output

RECIPE = Recipe(stage="count", version=1, settings={"beta": 0.1, "seed": 3}, inputs={"split": "ab", "model": "cd"})
SCHEMA = pa.schema([("id", pa.string()), ("value", pa.float64())])
ROWS: list[dict[str, Any]] = [{"id": "one", "value": 1.0}, {"id": "two", "value": None}]
KEYS = ["a", "b", "c", "d", "e"]
HOLD = """
import sys
from pathlib import Path
from trimtab.store import Store
with Store(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


# A link to it stands where the bytes would go: the system itself says that no space is left.
needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


class StopError(Exception):
    """What a stage is stopped with here."""


def counted(draft: Draft) -> Mapping[str, Any]:
    draft.write_rows("rows", ROWS, SCHEMA)
    return {"rows": len(ROWS)}


def stopped(draft: Draft) -> Mapping[str, Any]:
    draft.write_rows("rows", ROWS, SCHEMA)
    raise StopError


def draft_in(folder: Path) -> Draft:
    folder.mkdir(exist_ok=True)
    return Draft(folder=folder)


class Maker:
    """Makes a row a key, two to a chunk, and stops before the chunk that holds `stop`."""

    def __init__(self, stop: str = "") -> None:
        self.stop = stop
        self.asked: list[str] = []

    def __call__(self, keys: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        self.asked = list(keys)
        for start in range(0, len(keys), 2):
            chunk = keys[start : start + 2]
            if self.stop in chunk:
                raise StopError
            yield [{"key": key, "text": key * 3} for key in chunk]


def rows_of(keys: Sequence[str]) -> list[dict[str, Any]]:
    return [{"key": key, "text": key * 3} for key in keys]


def test_a_fingerprint_is_the_same_whatever_the_order_of_the_keys() -> None:
    turned = Recipe(stage="count", version=1, settings={"seed": 3, "beta": 0.1}, inputs={"model": "cd", "split": "ab"})
    assert turned.fingerprint == RECIPE.fingerprint
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


def test_what_is_made_is_found_again_and_not_made_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("count.x", RECIPE) is None
    made = store.get_or_create("count.x", RECIPE, counted)
    assert made.folder.name == f"count.x-{RECIPE.fingerprint}"
    assert made.read_rows("rows") == ROWS
    assert made.record["facts"] == {"rows": 2}
    # `stopped` would raise
    assert store.get_or_create("count.x", RECIPE, stopped) == store.find("count.x", RECIPE) == made


def test_the_record_is_written_last(tmp_path: Path) -> None:
    def look(draft: Draft) -> Mapping[str, Any]:
        assert not (draft.folder / "record.json").exists()
        return counted(draft)

    folder = Store(tmp_path).get_or_create("count", RECIPE, look).folder
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "rows.parquet"]


def test_a_folder_without_a_record_is_not_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StopError):
        store.get_or_create("count", RECIPE, stopped)
    folder = store.folder("count", RECIPE)
    assert (folder / "rows.parquet").is_file()
    assert store.find("count", RECIPE) is None
    with pytest.raises(StoreError, match=rf"{folder.name} is not finished .*run the study again"):
        open_artifact(folder)
    assert store.get_or_create("count", RECIPE, counted).read_rows("rows") == ROWS


def test_the_time_of_an_attempt_that_failed_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StopError):
        store.get_or_create("count", RECIPE, stopped)
    spent = store.folder("count", RECIPE) / "spent.json"
    assert 0 <= json.loads(spent.read_text()) < 60
    spent.write_text("3600.0")
    assert 3600 <= store.get_or_create("count", RECIPE, counted).record["seconds"] < 3660
    assert not spent.exists()


@pytest.mark.parametrize("text", ["", '{"name": "cou', "not json"])
def test_a_damaged_record_names_the_folder_and_the_way_out(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    folder = store.get_or_create("count", RECIPE, counted).folder
    (folder / "record.json").write_text(text)
    with pytest.raises(StoreError, match=rf"record\.json is damaged .*; delete .*{folder.name} and run again"):
        store.find("count", RECIPE)


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draft_in(tmp_path / name).write_rows("rows", [dict(row) for row in ROWS], SCHEMA)
    one, two = ((tmp_path / name / "rows.parquet").read_bytes() for name in ("one", "two"))
    assert one == two
    draft_in(tmp_path / "two").write_rows("rows", ROWS[:1], SCHEMA)
    assert (tmp_path / "two" / "rows.parquet").read_bytes() != one


def test_rows_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    draft.write_rows("rows", ROWS, SCHEMA)
    draft.write_json("said", {"ä": [1, None]})
    found = Artifact(folder=draft.folder, record={})
    assert (found.read_rows("rows"), found.read_json("said")) == (ROWS, {"ä": [1, None]})


def test_rows_are_kept_in_the_order_of_the_keys(tmp_path: Path) -> None:
    def backwards(keys: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        yield from ([row] for row in rows_of(keys[::-1]))

    assert draft_in(tmp_path / "x").resumable_rows("texts", KEYS, backwards) == rows_of(KEYS)


def test_a_stage_that_was_stopped_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    with pytest.raises(StopError):
        draft.resumable_rows("texts", KEYS, Maker(stop="c"))
    again = Maker()
    assert draft.resumable_rows("texts", KEYS, again) == rows_of(KEYS)
    assert again.asked == ["c", "d", "e"]
    assert (draft.folder / "texts.jsonl.part").read_text().count("\n") == len(KEYS)


def test_a_line_cut_short_by_a_kill_is_made_again(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    draft.resumable_rows("texts", KEYS, Maker())
    part = draft.folder / "texts.jsonl.part"
    part.write_bytes(part.read_bytes()[:-9])
    again = Maker()
    assert draft.resumable_rows("texts", KEYS, again) == rows_of(KEYS)
    assert again.asked == ["e"]


def test_parts_are_cleared_away_when_a_folder_is_finished(tmp_path: Path) -> None:
    def keeping(draft: Draft) -> Mapping[str, Any]:
        return {"rows": len(draft.resumable_rows("texts", KEYS, Maker()))}

    folder = Store(tmp_path).get_or_create("count", RECIPE, keeping).folder
    assert [path.name for path in folder.iterdir()] == ["record.json"]


def test_a_folder_is_held_by_one_run_at_a_time_and_the_other_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    command = [sys.executable, "-c", HOLD, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(StoreError, match=rf"held by another run \(process {other.pid} on .*use --out"),
            store.lock(),
        ):
            pass
        other.kill()
    with store.lock():
        assert json.loads((store.root / "run.holder.json").read_text())["process"] == os.getpid()
    assert not (store.root / "run.holder.json").exists()


@needs_full_device
def test_a_value_that_does_not_fit_says_what_to_do(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    (draft.folder / "said.json.writing").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=rf"no space left for {draft.folder}: free some, or use --out"):
        draft.write_json("said", {"a": 1})
    assert not (draft.folder / "said.json").exists()


@needs_full_device
def test_a_table_that_does_not_fit_says_what_to_do(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    (draft.folder / "rows.parquet.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=rf"no space left for {draft.folder}"):
        draft.write_rows("rows", ROWS, SCHEMA)
    assert not (draft.folder / "rows.parquet").exists()


@needs_full_device
def test_a_run_goes_on_once_there_is_room_again(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "x")
    with pytest.raises(StopError):
        draft.resumable_rows("texts", KEYS, Maker(stop="c"))
    # the first lines stand; this renames the link onto the part file, as a disk that fills up in between
    part, spare = draft.folder / "texts.jsonl.part", draft.folder / "spare"
    spare.write_bytes(part.read_bytes())
    (draft.folder / "texts.jsonl.part.writing").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"no space left .* the same command goes on from there"):
        draft.resumable_rows("texts", KEYS, Maker())
    (draft.folder / "texts.jsonl.part.writing").unlink(missing_ok=True)
    spare.replace(part)
    again = Maker()
    assert draft.resumable_rows("texts", KEYS, again) == rows_of(KEYS)
    assert again.asked == ["c", "d", "e"]


def test_a_place_below_a_file_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "run")
    with pytest.raises(StoreError, match=r"cannot write .*file/run: Not a directory; use --out"), store.lock():
        pass


def test_a_file_that_was_asked_for_has_its_folder_made_or_says_why_it_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "text"
    write_output(path, "as asked")
    assert path.read_text() == "as asked"
    with pytest.raises(StoreError, match=r"cannot write .*deeper: that is a folder; name a file in it"):
        write_output(path.parent, "a folder")
    with pytest.raises(StoreError, match=r"cannot write .*text/below: .*text is no folder; name another file"):
        write_output(path / "below", "below a file")


def test_a_file_is_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "text"
    atomic_write_text(path, "as it was")
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(path, "half of it \ud800")
    assert path.read_text() == "as it was"
