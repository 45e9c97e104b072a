"""A stage saves its rows in chunks, resumes with the missing ones, and shares them with other processes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from trimtab.errors import StoreError
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.chunks import Chunking, NoChunkLeftError, find_chunk_tables
from trimtab.storage.recipe import Recipe

CONDITIONS = {"device": "cpu", "token_budget": 64}
CHUNKING = Chunking(num_rows=5, size=2, conditions=CONDITIONS)
RECIPE = Recipe(stage="count", version=1)
SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])
# Rows and chunks of the stage that several processes share.
NUM_ROWS, CHUNK_SIZE = 47, 4


class StopError(Exception):
    """Stops a stage."""


class RowMaker:
    """Computes rows, notes their indices, and stops before the chunk that contains `stop`."""

    def __init__(self, stop: int = -1) -> None:
        self.stop = stop
        self.computed: list[int] = []

    def __call__(self, rows: slice) -> list[dict[str, Any]]:
        indices = range(rows.start, rows.stop)
        if self.stop in indices:
            raise StopError
        self.computed += indices
        return build_rows(*indices)


def build_rows(*indices: int) -> list[dict[str, Any]]:
    return [{"row": index, "text": "é\u2028" * index} for index in indices]


def make_draft(folder: Path) -> Draft:
    folder.mkdir(exist_ok=True)
    return Draft(folder=folder)


def list_chunks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("texts-*.part") if path.stat().st_size)


def test_a_stopped_stage_resumes_with_the_missing_chunks(tmp_path: Path) -> None:
    draft, loaded = make_draft(tmp_path / "x"), list[int]()
    with pytest.raises(StopError):
        draft.compute_rows("texts", CHUNKING, RowMaker(stop=3))
    second = RowMaker()
    rows = draft.compute_rows("texts", replace(CHUNKING, on_load=loaded.append), second)
    assert (rows, second.computed, loaded) == (build_rows(0, 1, 2, 3, 4), [2, 3, 4], [2])


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data[1:]])
def test_a_truncated_or_altered_chunk_is_computed_again(tmp_path: Path, damage: Any) -> None:
    draft = make_draft(tmp_path / "x")
    draft.compute_rows("texts", CHUNKING, RowMaker())
    chunks = list_chunks(draft.folder)
    contents = [path.read_bytes() for path in chunks]
    chunks[1].write_bytes(damage(contents[1]))
    second = RowMaker()
    assert draft.compute_rows("texts", CHUNKING, second) == build_rows(0, 1, 2, 3, 4)
    assert second.computed == [2, 3]
    assert [path.read_bytes() for path in chunks] == contents


def test_chunks_of_another_stage_another_place_or_another_size_are_computed_again(tmp_path: Path) -> None:
    one, two = make_draft(tmp_path / "x"), make_draft(tmp_path / "y")
    one.compute_rows("texts", CHUNKING, RowMaker())
    for path in list_chunks(one.folder):
        shutil.copy(path, two.folder / path.name)
    other_stage, other_size, other_place = RowMaker(), RowMaker(), RowMaker()
    two.compute_rows("texts", CHUNKING, other_stage)
    assert other_stage.computed == [0, 1, 2, 3, 4]
    two.compute_rows("texts", replace(CHUNKING, size=4), other_size)
    assert other_size.computed == [0, 1, 2, 3]
    first, second, _ = list_chunks(one.folder)
    shutil.copy(first, second)
    assert one.compute_rows("texts", CHUNKING, other_place) == build_rows(0, 1, 2, 3, 4)
    assert other_place.computed == [2, 3]


def test_partial_arrays_that_are_damaged_or_swapped_are_computed_again(tmp_path: Path) -> None:
    computed: list[int] = []

    def compute(rows: slice) -> NDArray[np.float32]:
        computed.append(rows.start)
        return np.full((2, 3), rows.start, np.float32)

    draft, chunking = make_draft(tmp_path / "x"), replace(CHUNKING, num_rows=6)
    draft.compute_array("values", chunking, compute)
    expected = (draft.folder / "values.npy").read_bytes()
    parts = sorted(path for path in draft.folder.glob("values-*.part") if path.stat().st_size)
    contents = [part.read_bytes() for part in parts]
    for part, content in zip(parts, [contents[1], contents[0], contents[2][:-1]], strict=True):
        part.write_bytes(content)
    draft.compute_array("values", chunking, compute)
    assert computed == [0, 2, 4] * 2
    assert (draft.folder / "values.npy").read_bytes() == expected


def test_partial_files_are_deleted_when_a_folder_is_complete(tmp_path: Path) -> None:
    folder = Store(tmp_path).get_or_create("count", RECIPE, write_texts).folder
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "texts.parquet"]


def write_texts(draft: Draft) -> Mapping[str, Any]:
    draft.write_rows("texts", draft.compute_rows("texts", CHUNKING, RowMaker()), SCHEMA)
    return {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_run_resumes_once_there_is_space(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    full = draft.folder / f"texts-000000002.part.{socket.gethostname()}-{os.getpid()}.writing"
    full.symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"no space left .* resumes from there"):
        draft.compute_rows("texts", CHUNKING, RowMaker())
    assert not full.exists()
    second = RowMaker()
    assert draft.compute_rows("texts", CHUNKING, second) == build_rows(0, 1, 2, 3, 4)
    assert second.computed == [2, 3, 4]


def test_cached_values_are_computed_again_from_the_cache(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    for _ in range(2):
        maker = RowMaker()
        assert draft.compute_cached("texts", CHUNKING, maker) == build_rows(0, 1, 2, 3, 4)
        assert maker.computed == [0, 1, 2, 3, 4]


def test_another_process_computes_only_chunks_that_are_open_and_writes_nothing_else(tmp_path: Path) -> None:
    draft, second = make_draft(tmp_path / "x"), RowMaker()
    helper = replace(draft, helps=True)

    def compute_and_let_help(rows: slice) -> list[dict[str, Any]]:
        if rows.start == 0:
            with pytest.raises(NoChunkLeftError) as end:
                helper.compute_rows("texts", CHUNKING, second)
            assert end.value.num_computed == 2
        return build_rows(*range(rows.start, rows.stop))

    assert draft.compute_rows("texts", CHUNKING, compute_and_let_help) == build_rows(0, 1, 2, 3, 4)
    assert second.computed == [2, 3, 4]
    helper.write_rows("texts", [], SCHEMA)
    helper.write_json("texts", {})
    assert not {"texts.parquet", "texts.json"} & {path.name for path in draft.folder.iterdir()}


def test_other_conditions_and_other_chunks_are_an_error(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    with pytest.raises(StopError):
        draft.compute_rows("texts", CHUNKING, RowMaker(stop=0))
    helper = replace(draft, helps=True)
    with pytest.raises(
        StoreError, match=r"5 rows in chunks of 2, device cuda, token_budget 64 here, but .* device cpu"
    ):
        helper.compute_rows("texts", replace(CHUNKING, conditions={**CONDITIONS, "device": "cuda"}), RowMaker())
    with pytest.raises(StoreError, match=r"6 rows in chunks of 2, .* use the same version and the same options"):
        helper.compute_rows("texts", replace(CHUNKING, num_rows=6), RowMaker())


def test_a_finished_stage_and_one_that_shares_nothing_have_no_chunks_left(tmp_path: Path) -> None:
    folder = Store(tmp_path).get_or_create("count", RECIPE, write_texts).folder
    for place in (folder, make_draft(tmp_path / "x").folder):
        assert find_chunk_tables(place) == []
        with pytest.raises(NoChunkLeftError) as end:
            Draft(folder=place, helps=True).compute_rows("texts", CHUNKING, RowMaker())
        assert end.value.num_computed == 0


def compute_shared_row(index: int) -> dict[str, Any]:
    return {"row": index, "text": sha256(str(index).encode()).hexdigest()}


def work(folder: Path, seed: int) -> None:
    """Executes the stage if nobody does, otherwise computes chunks for it, until it is finished. Sleeps at random."""
    from trimtab.storage.stage_locks import StageLocks

    rng, store = random.Random(seed), Store(folder)
    chunking = Chunking(num_rows=NUM_ROWS, size=CHUNK_SIZE, conditions=CONDITIONS)

    def compute(rows: slice) -> list[dict[str, Any]]:
        time.sleep(rng.uniform(0, 0.03))
        return [compute_shared_row(index) for index in range(rows.start, rows.stop)]

    def make(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("texts", draft.compute_rows("texts", chunking, compute), SCHEMA)
        return {}

    while store.find("count", RECIPE) is None:
        with StageLocks(folder).try_acquire([RECIPE.fingerprint]) as is_acquired:
            if is_acquired:
                store.get_or_create("count", RECIPE, make)
                continue
        if find_chunk_tables(store.folder("count", RECIPE)):
            with suppress(NoChunkLeftError):
                make(Draft(folder=store.folder("count", RECIPE), helps=True))
        time.sleep(0.01)


def start_worker(folder: Path, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__)), str(folder), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("num_workers", [1, 2, 3, 7])
def test_any_number_of_workers_with_kills_writes_the_bytes_of_one_process(tmp_path: Path, num_workers: int) -> None:
    rng = random.Random(num_workers)
    workers = [start_worker(tmp_path, seed) for seed in range(num_workers)]
    results = tmp_path / "stages" / f"count-{RECIPE.fingerprint}"
    for seed in range(2):
        while not any(results.glob("texts-*.part")):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        victim = rng.randrange(num_workers)
        workers[victim].kill()
        workers[victim].communicate()
        workers[victim] = start_worker(tmp_path, 100 + seed)
    outputs = [worker.communicate() for worker in workers]
    assert [(worker.returncode, errors) for worker, (_, errors) in zip(workers, outputs, strict=True)] == [
        (0, "")
    ] * num_workers
    alone = make_draft(tmp_path / "alone")
    alone.write_rows("texts", [compute_shared_row(index) for index in range(NUM_ROWS)], SCHEMA)
    assert (results / "texts.parquet").read_bytes() == (alone.folder / "texts.parquet").read_bytes()


def test_a_chunk_whose_worker_died_is_computed_by_the_process_that_executes_the_stage(tmp_path: Path) -> None:
    draft = make_draft(tmp_path / "x")
    code = """
import os, signal, sys
from pathlib import Path
from trimtab.storage.chunks import ChunkTable
with ChunkTable(Path(sys.argv[1]), "texts", 5, 2, {}).try_claim(2) as is_claimed:
    print(is_claimed, flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(draft.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        maker = RowMaker()

        def compute(rows: slice) -> list[dict[str, Any]]:
            if rows.start == 4:
                other.send_signal(signal.SIGKILL)
            return maker(rows)

        assert draft.compute_rows("texts", CHUNKING, compute) == build_rows(0, 1, 2, 3, 4)
    assert maker.computed == [0, 1, 4, 2, 3]


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
