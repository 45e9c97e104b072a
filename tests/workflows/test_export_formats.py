"""Other tools read exports as plain preferences, and an export never replaces a file by accident."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.workflows.export import describe_llama_factory_dataset, export_model, export_preferences

PREFERENCE_COLUMNS = {"prompt", "chosen", "rejected"}
TRAINING: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "max_steps": 1,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
    "gradient_checkpointing": False,
    "save_strategy": "no",
}


@pytest.fixture(scope="module")
def weak_file(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "weak.jsonl"
    export_preferences(finished_run, "weak", path)
    return path


@pytest.fixture(scope="module")
def human_file(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Human labels have no margin, so this column is null in every row."""
    path = tmp_path_factory.mktemp("export") / "human.jsonl"
    export_preferences(finished_run, "human", path)
    return path


@pytest.fixture(scope="module")
def student(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "student"
    export_model(finished_run, "weak", path, lambda message: None)
    return path


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    yield
    os.umask(before)


def load_rows(path: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def test_every_extra_column_has_the_prefix(weak_file: Path) -> None:
    rows = [json.loads(line) for line in weak_file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert all(name in PREFERENCE_COLUMNS or name.startswith("trimtab_") for name in row)


@pytest.mark.filterwarnings("ignore")
def test_the_datasets_library_reads_exports_and_joins_them(weak_file: Path, human_file: Path, tmp_path: Path) -> None:
    from datasets import concatenate_datasets

    weak, human = load_rows(weak_file, tmp_path), load_rows(human_file, tmp_path)
    assert weak.column_names == human.column_names
    assert concatenate_datasets([weak, human]).num_rows == weak.num_rows + human.num_rows
    assert weak[0]["chosen"][0]["role"] == "assistant"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("arm", ["weak", "human"])
def test_the_reward_trainer_of_trl_trains_the_plain_loss(
    arm: str, weak_file: Path, human_file: Path, student: Path, tmp_path: Path
) -> None:
    """Its loss is the same without the extra columns."""
    trl = pytest.importorskip("trl")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows = load_rows({"weak": weak_file, "human": human_file}[arm], tmp_path)
    losses = []
    for data in (rows, rows.select_columns(sorted(PREFERENCE_COLUMNS))):
        import torch

        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(student, num_labels=1)
        trainer = trl.RewardTrainer(
            model=model,
            processing_class=AutoTokenizer.from_pretrained(student),
            train_dataset=data,
            args=trl.RewardConfig(output_dir=str(tmp_path / "out"), logging_steps=1, **TRAINING),
        )
        trainer.train()
        losses += [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert losses[0] == losses[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["DPO", "KTO"])
def test_the_dpo_and_kto_trainers_of_trl_train_the_plain_loss(
    kind: str, weak_file: Path, student: Path, tmp_path: Path
) -> None:
    trl = pytest.importorskip("trl")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = load_rows(weak_file, tmp_path)
    losses = []
    for data in (rows, rows.select_columns(sorted(PREFERENCE_COLUMNS))):
        import torch

        torch.manual_seed(0)
        trainer = getattr(trl, f"{kind}Trainer")(
            model=AutoModelForCausalLM.from_pretrained(student),
            processing_class=AutoTokenizer.from_pretrained(student),
            train_dataset=data,
            args=getattr(trl, f"{kind}Config")(output_dir=str(tmp_path / "out"), logging_steps=1, **TRAINING),
        )
        trainer.train()
        losses += [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert losses[0] == losses[1]


def test_llama_factory_reads_a_conversation_and_two_messages(finished_run: Path, tmp_path: Path) -> None:
    """In its `sharegpt` format, a ranking example has an odd number of turns, and each response is one message."""
    path = tmp_path / "weak.jsonl"
    export_preferences(finished_run, "weak", path, "llama-factory")
    (entry,) = json.loads(describe_llama_factory_dataset("weak", path)).values()
    assert (entry["file_name"], entry["formatting"], entry["ranking"]) == ("weak.jsonl", "sharegpt", True)
    columns, tags = entry["columns"], entry["tags"]
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        turns = [turn for turn in row[columns["messages"]] if turn[tags["role_tag"]] != tags["system_tag"]]
        expected = [tags["user_tag"], tags["assistant_tag"]] * len(turns)
        assert [turn[tags["role_tag"]] for turn in turns] == expected[: len(turns)]
        assert len(turns) % 2 == 1
        for name in ("chosen", "rejected"):
            assert row[columns[name]][tags["role_tag"]] == tags["assistant_tag"]
            assert isinstance(row[columns[name]][tags["content_tag"]], str)


def test_an_export_replaces_a_file_only_on_request(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "weak.jsonl"
    path.write_text("mine")
    with pytest.raises(StudyError, match=r"weak\.jsonl: already exists; .* add --overwrite"):
        export_preferences(finished_run, "weak", path)
    assert path.read_text() == "mine"
    export_preferences(finished_run, "weak", path, overwrite=True)
    assert path.read_text() != "mine"


def test_an_exported_model_replaces_weights_only_on_request(
    finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "model-00001-of-00002.safetensors").write_text("of another model")
    with pytest.raises(StudyError, match=r"already exists; .* add --overwrite"):
        export_model(finished_run, "weak", tmp_path, runtime.notify)
    export_model(finished_run, "weak", tmp_path, runtime.notify, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["model.safetensors"]


def test_a_suffix_that_is_not_written_is_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"x\.csv: the suffix must be \.jsonl, got \.csv"):
        export_preferences(finished_run, "weak", tmp_path / "x.csv")
    with pytest.raises(StudyError, match=r"the suffix must be \.jsonl, got none"):
        export_preferences(finished_run, "weak", tmp_path / "x")


@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_exports_have_the_permissions_of_the_umask(
    mask: int, mode: int, finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    with umask(mask):
        export_preferences(finished_run, "weak", tmp_path / "weak.jsonl")
        export_model(finished_run, "weak", tmp_path / "model", runtime.notify)
    files = [tmp_path / "weak.jsonl", *(tmp_path / "model").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
