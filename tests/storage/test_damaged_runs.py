"""Damaged files of a finished run are refused with a remedy; results are never computed from them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError, TrimtabError
from trimtab.models.references import ModelRef
from trimtab.report.model import report_to_json
from trimtab.report.write_report import write_report
from trimtab.storage import content_hashes
from trimtab.storage.artifacts import Store, open_artifact
from trimtab.storage.line_checksums import encode_line
from trimtab.storage.recipe import Recipe
from trimtab.workflows.verify import verify_run

RECIPE = Recipe(stage="count", version=1)


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    index = rng.randrange(len(data))
    return data[:index] + bytes([data[index] ^ (1 << rng.randrange(8))]) + data[index + 1 :]


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a flipped bit": flip_bit,
    "a truncated file": lambda data, rng: data[: rng.randrange(len(data))],
    "an empty file": lambda data, rng: b"",
    "zeros": lambda data, rng: bytes(len(data)),
    "noise": lambda data, rng: rng.randbytes(len(data)),
    "other JSON": lambda data, rng: rng.choice([b"[]", b"{}", b"null", b"1e999", b"[" * 100_000]),
}


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def stage_files(run: Path) -> list[Path]:
    return sorted(path for path in run.glob("stages/**/*") if path.is_file())


def open_everything(run: Path) -> None:
    write_report(run)
    for record in run.glob("stages/*/record.json"):
        open_artifact(record.parent)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_any_kind_of_file_is_an_error_with_a_remedy(damage: str, run: Path) -> None:
    rng = random.Random(damage)
    by_name = {path.name: path for path in rng.sample(stage_files(run), len(stage_files(run)))}
    for path in [*by_name.values(), run / "run.json", run / "study.yaml"]:
        before = path.read_bytes()
        changed = DAMAGE[damage](before, rng)
        if changed == before:
            continue
        path.write_bytes(changed)
        with pytest.raises(TrimtabError, match="again"):
            open_everything(run)
        assert verify_run(run).problems, path
        path.write_bytes(before)
    open_everything(run)
    assert verify_run(run).problems == ()


def test_a_file_that_is_missing_is_an_error(run: Path) -> None:
    for path in {path.name: path for path in stage_files(run) if path.name != "record.json"}.values():
        before = path.read_bytes()
        path.unlink()
        with pytest.raises(StoreError, match=rf"{path.name} is damaged \(cannot be read"):
            open_everything(run)
        path.write_bytes(before)


def test_a_file_that_was_added_to_a_model_is_an_error(run: Path) -> None:
    (model,) = run.glob("stages/sft.student-*/model")
    (model / "more.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match=r"more.safetensors is damaged \(was added after the stage finished\)"):
        open_artifact(model.parent)


def test_well_formed_changes_are_errors(run: Path) -> None:
    """Scores of another arm, facts of the record, and the contents of one stage under the name of another."""
    one, two = (next(run.glob(f"stages/score.{arm}.checker-*")) for arm in ("base", "weak"))
    for name in ("scores.parquet", "record.json"):
        before = (one / name).read_bytes()
        (one / name).write_bytes((two / name).read_bytes())
        if before != (one / name).read_bytes():
            with pytest.raises(StoreError, match="is damaged"):
                open_artifact(one)
        (one / name).write_bytes(before)
    record = json.loads((one / "record.json").read_text())
    record["facts"]["failed"] = 3
    (one / "record.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match=r"record.json is damaged \(its checksum does not match\)"):
        open_artifact(one)


def test_weights_below_an_adapter_are_compared_as_well(run: Path, runtime: Runtime) -> None:
    (weights,) = run.glob("stages/sft.student-*/model/model.safetensors")
    weights.write_bytes(flip_bit(weights.read_bytes(), random.Random(0)))
    (adapter,) = run.glob("stages/dpo.weak-[0-9a-f]*")
    with pytest.raises(StoreError, match=r"model.safetensors is damaged"):
        ModelRef(adapter).load(runtime.notify, "cpu")


def test_a_run_of_an_earlier_version_is_readable_and_verify_names_what_it_cannot_check(run: Path) -> None:
    report = report_to_json(write_report(run))
    for path in [*run.glob("stages/*/record.json"), run / "run.json"]:
        document = json.loads(path.read_text())
        old = {name: document[name] for name in document if name not in ("files", "checksum", "study_sha256")}
        path.write_text(json.dumps(old))
    assert report_to_json(write_report(run)) == report
    found = verify_run(run)
    assert (found.problems, len(found.without_hashes)) == ((), found.stages)


def test_settings_that_were_edited_after_the_run_are_an_error(run: Path) -> None:
    path = run / "study.yaml"
    path.write_text(path.read_text().replace("name: tiny", "name: tidy"))
    with pytest.raises(StoreError, match=r"study.yaml was changed after the run wrote it; run the study again"):
        write_report(run)


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", ".", ""])
def test_an_index_cannot_name_a_folder_outside_the_run(run: Path, name: str) -> None:
    document = json.loads((run / "run.json").read_text())
    document.pop("checksum")
    document["split"] = name
    (run / "run.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"run.json cannot be read \(split: "):
        write_report(run)


class TestLargeFiles:
    """Samples suffice while size and time are as recorded; everything else is compared completely."""

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(content_hashes, "LARGE_FILE_BYTES", 1000)
        monkeypatch.setattr(content_hashes, "SAMPLE_BYTES", 4)

        def write(draft: Any) -> dict[str, Any]:
            (draft.folder / "weights.safetensors").write_bytes(random.Random(0).randbytes(100_000))
            return {}

        return Store(tmp_path).get_or_create("count", RECIPE, write).folder

    def change_unsampled_byte(self, stage: Path) -> None:
        path = stage / "weights.safetensors"
        data, stat = bytearray(path.read_bytes()), path.stat()
        data[500] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def test_a_change_gives_another_time_and_is_found(self, stage: Path) -> None:
        self.change_unsampled_byte(stage)
        os.utime(stage / "weights.safetensors")
        with pytest.raises(StoreError, match=r"weights\.safetensors is damaged"):
            open_artifact(stage)

    def test_a_copy_without_its_time_is_accepted(self, stage: Path) -> None:
        os.utime(stage / "weights.safetensors")
        open_artifact(stage)

    def test_a_change_between_samples_with_the_same_time_is_found_by_verify(self, stage: Path) -> None:
        self.change_unsampled_byte(stage)
        open_artifact(stage)
        (problem,) = verify_run(stage.parents[1]).problems
        assert "weights.safetensors is damaged (was changed after the stage finished)" in problem


def test_damaged_lines_of_completions_are_counted_by_verify(run: Path) -> None:
    (run / "completions").mkdir(exist_ok=True)
    intact, other = (encode_line({"key": "a", "value": 1}, name) for name in ("x.jsonl", "y.jsonl"))
    (run / "completions" / "x.jsonl").write_bytes(intact + other)
    (problem,) = verify_run(run).problems
    assert "x.jsonl: 1 of 2 lines are damaged" in problem


def test_damaged_label_files_are_found_by_verify(run: Path) -> None:
    weak, human = run / "labels" / "weak.parquet", run / "labels" / "human.parquet"
    weak.write_bytes(flip_bit(weak.read_bytes(), random.Random(0)))
    human.unlink()
    assert sorted(verify_run(run).problems) == [
        f"{human} was deleted; run the study again, which writes the file",
        f"{weak} was changed after the run wrote it; run the study again, which writes the file",
    ]


def test_verify_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no stages of a run"):
        verify_run(tmp_path)
