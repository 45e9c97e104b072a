"""Exported labels and students can be read without Trimtab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError, StudyError
from trimtab.pipeline.run_index import load_run_index
from trimtab.storage.artifacts import Artifact, open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.workflows.export import export_model, export_preferences


def stage(run: Path, arm: str, part: str) -> Artifact:
    row = load_run_index(run).find_row(arm)
    assert row is not None
    return open_artifact(run / "stages" / getattr(row, part))


def export_rows(run: Path, arm: str, output: Path) -> list[dict[str, Any]]:
    count = export_preferences(run, arm, output).count
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count
    return rows


def test_every_label_becomes_one_preference_with_its_probability(finished_run: Path, tmp_path: Path) -> None:
    labels = load_annotations(stage(finished_run, "weak", "labels"))
    split = open_artifact(finished_run / "stages" / load_run_index(finished_run).split)
    pairs = {pair.id: pair for pair in load_split_pairs(split, "unlabeled")}
    rows = export_rows(finished_run, "weak", tmp_path / "deep" / "weak.jsonl")
    assert {row["trimtab_id"] for row in rows} == {key for key, label in labels.items() if label.choice}
    for row in rows:
        pair, label = pairs[row["trimtab_id"]], labels[row["trimtab_id"]]
        assert label.p_a is not None and label.margin is not None and label.choice is not None
        assert row["prompt"] == [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
        assert row["chosen"] == [{"role": "assistant", "content": pair.response(label.choice)}]
        assert row["rejected"] == [{"role": "assistant", "content": pair.a if label.choice == "b" else pair.b}]
        assert row["trimtab_p_chosen"] == max(label.p_a, 1 - label.p_a) > 0.5
        assert row["trimtab_margin"] == abs(label.margin)


def test_human_labels_have_probability_one_and_no_margin(finished_run: Path, tmp_path: Path) -> None:
    rows = export_rows(finished_run, "human", tmp_path / "human.jsonl")
    assert len(rows) == 10
    assert {(row["trimtab_p_chosen"], row["trimtab_margin"], row["trimtab_weight"]) for row in rows} == {
        (1.0, None, 1.0)
    }


def test_the_exported_student_is_a_full_model_that_loads_without_trimtab(
    finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trimtab.models.references import ModelRef

    export_model(finished_run, "weak", tmp_path / "student", runtime.notify)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "student", dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    ids = torch.tensor([tokenizer.encode(text)])
    student = ModelRef(stage(finished_run, "weak", "training").folder).load(runtime.notify, "cpu").model
    base = ModelRef(stage(finished_run, "sft", "training").folder).load(runtime.notify, "cpu").model
    with torch.inference_mode():
        exported, trained, untrained = (each(ids).logits for each in (model, student, base))
    torch.testing.assert_close(exported, trained, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(exported, untrained, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arm", ["base", "sft", "weak_model"])
def test_exporting_an_arm_without_labels_is_an_error(finished_run: Path, tmp_path: Path, arm: str) -> None:
    with pytest.raises(StudyError, match=f"--arm {arm}: the arm has no labels"):
        export_preferences(finished_run, arm, tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()


def test_exporting_an_arm_without_a_model_is_an_error(finished_run: Path, runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--arm base: the arm has no trained model"):
        export_model(finished_run, "base", tmp_path / "x", runtime.notify)


def test_a_suffix_that_is_not_written_is_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"weak\.csv: the suffix must be \.jsonl, got \.csv"):
        export_preferences(finished_run, "weak", tmp_path / "weak.csv")
    assert not (tmp_path / "weak.csv").exists()


def test_an_unknown_arm_is_an_error_that_lists_the_arms(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"--arm week: unknown arm \(expected one of: base, sft, human, weak,"):
        export_preferences(finished_run, "week", tmp_path / "x.jsonl")


def test_a_folder_without_a_run_is_an_error_that_gives_the_command(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no finished run \(no run.json\).*trimtab run STUDY.yaml --out"):
        export_preferences(tmp_path, "weak", tmp_path / "x.jsonl")
