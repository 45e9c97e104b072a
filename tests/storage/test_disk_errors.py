"""A full disk, a removed folder and a read-only folder give one message, whatever library was writing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trimtab.errors import ModelError, StoreError
from trimtab.report.write_report import write_report
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.storage.recipe import Recipe
from trimtab.training.checkpoints import find_latest_checkpoint, record_checkpoint

RECIPE = Recipe(stage="count", version=1)
SCHEMA = pa.schema([("id", pa.string())])
NO_SPACE = r"no space left for .*; free some space and run the same command again: .* resumes from there"

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can write everywhere")


def save_with_torch() -> None:
    import torch

    torch.save({"x": torch.zeros(1 << 16)}, "/dev/full")


def save_with_numpy() -> None:
    with Path("/dev/full").open("wb") as out:
        np.save(out, np.zeros(1 << 16, np.float32))


def save_text() -> None:
    Path("/dev/full").write_text("text")


@needs_full_device
@pytest.mark.parametrize("save", [save_with_torch, save_with_numpy, save_text])
def test_a_full_disk_has_one_message_for_every_library(save: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=NO_SPACE), translate_os_errors(tmp_path):
        save()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        OSError("65536 requested and 0 written"),
    ],
)
def test_a_stage_that_fills_the_disk_is_resumed(error: Exception, tmp_path: Path) -> None:
    def fail(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("done", [{"id": "a"}], SCHEMA)
        raise error

    store = Store(tmp_path)
    with pytest.raises(StoreError, match=NO_SPACE):
        store.get_or_create("count", RECIPE, fail)
    assert (store.folder("count", RECIPE) / "done.parquet").is_file()
    assert store.get_or_create("count", RECIPE, lambda _: {}).read_rows("done") == [{"id": "a"}]


def test_a_removed_folder_gives_the_fix(tmp_path: Path) -> None:
    def remove(draft: Draft) -> Mapping[str, Any]:
        shutil.rmtree(tmp_path / "run")
        draft.write_json("notes", 1)
        return {}

    store = Store(tmp_path / "run")
    with (
        pytest.raises(StoreError, match=r"was removed while it was in use; run the same command again"),
        store.lock(),
    ):
        store.get_or_create("count", RECIPE, remove)


def test_errors_of_other_files_are_not_changed(tmp_path: Path) -> None:
    for error in (
        PermissionError(errno.EACCES, "Permission denied", "/etc/other"),
        ModelError("no weights"),
        KeyError(1),
    ):
        with pytest.raises(type(error)) as raised, translate_os_errors(tmp_path):
            raise error
        assert raised.value is error


@needs_full_device
def test_a_report_on_a_full_disk_gives_the_fix(finished_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    (folder / "report.html.writing").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=NO_SPACE):
        write_report(folder)


@needs_permissions
def test_a_report_in_a_read_only_folder_gives_the_fix(finished_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    folder.chmod(0o555)
    with pytest.raises(StoreError, match=r"cannot write .*run: Permission denied; make it writable, or copy the run"):
        write_report(folder)


def test_a_damaged_checkpoint_is_refused_and_one_without_hashes_is_not_used(tmp_path: Path) -> None:
    for step in (20, 100):
        write_checkpoint(tmp_path / f"checkpoint-{step}", limit=2)
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")
    (tmp_path / "checkpoint-100" / "model.safetensors").write_bytes(b"wEights")
    with pytest.raises(
        StoreError, match=r"checkpoint-100/model.safetensors is damaged .*; delete .*checkpoint-100 and run"
    ):
        find_latest_checkpoint(tmp_path)
    (tmp_path / "checkpoint-100" / "content_hashes.json").unlink()
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")


@pytest.mark.parametrize(("limit", "steps"), [(None, {20, 40, 100}), (2, {40, 100}), (1, {100})])
def test_a_checkpoint_is_deleted_only_when_later_ones_have_hashes(
    tmp_path: Path, limit: int | None, steps: set[int]
) -> None:
    for step in (20, 40, 100):
        write_checkpoint(tmp_path / f"checkpoint-{step}", limit)
    assert {path.name for path in tmp_path.iterdir()} == {f"checkpoint-{step}" for step in steps}


def write_checkpoint(folder: Path, limit: int | None) -> None:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    record_checkpoint(folder, limit)
