"""What an arm's labels and its student are handed on as can be read without Trimtab."""

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
    (found,) = (each for each in load_run_index(run)["arms"] if each["name"] == arm)
    return open_artifact(run / "stages" / found[part])


def exported(run: Path, arm: str, to: Path) -> list[dict[str, Any]]:
    count = export_preferences(run, arm, to)
    rows = [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count
    return rows


def test_every_label_becomes_one_preference_with_its_probability(finished_run: Path, tmp_path: Path) -> None:
    labels = load_annotations(stage(finished_run, "weak", "labels"))
    split = open_artifact(finished_run / "stages" / load_run_index(finished_run)["split"])
    pairs = {pair.id: pair for pair in load_split_pairs(split, "unlabeled")}
    rows = exported(finished_run, "weak", tmp_path / "deep" / "weak.jsonl")
    assert {row["id"] for row in rows} == {key for key, label in labels.items() if label.choice}
    for row in rows:
        pair, label = pairs[row["id"]], labels[row["id"]]
        assert label.p_a is not None and label.margin is not None and label.choice is not None
        assert row["prompt"] == [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
        assert row["chosen"] == [{"role": "assistant", "content": pair.response(label.choice)}]
        assert row["rejected"] == [{"role": "assistant", "content": pair.a if label.choice == "b" else pair.b}]
        assert row["p_chosen"] == max(label.p_a, 1 - label.p_a) > 0.5
        assert row["margin"] == abs(label.margin)


def test_the_human_arm_is_exported_with_certainty_and_no_margin(finished_run: Path, tmp_path: Path) -> None:
    rows = exported(finished_run, "human", tmp_path / "human.jsonl")
    assert len(rows) == 10
    assert {(row["p_chosen"], row["margin"], row["weight"]) for row in rows} == {(1.0, None, 1.0)}


def test_the_exported_student_is_a_whole_model_that_loads_without_us(
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
    ours = ModelRef(stage(finished_run, "weak", "training").folder).load(runtime.notify, "cpu").model
    base = ModelRef(stage(finished_run, "sft", "training").folder).load(runtime.notify, "cpu").model
    with torch.inference_mode():
        handed_on, kept, before = (each(ids).logits for each in (model, ours, base))
    torch.testing.assert_close(handed_on, kept, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(handed_on, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arm", ["base", "sft", "weak_model"])
def test_an_arm_without_labels_is_refused(finished_run: Path, tmp_path: Path, arm: str) -> None:
    with pytest.raises(StudyError, match=f"--arm {arm}: it has no labels of its own"):
        export_preferences(finished_run, arm, tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()


def test_an_arm_without_a_model_is_refused(finished_run: Path, runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--arm base: it has no model of its own"):
        export_model(finished_run, "base", tmp_path / "x", runtime.notify)


def test_an_unknown_arm_is_refused_with_those_that_there_are(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"--arm week: there is no such arm \(there are: base, sft, human, weak,"):
        export_preferences(finished_run, "week", tmp_path / "x.jsonl")


def test_a_folder_without_a_finished_run_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no finished run \(no run.json\).*trimtab run STUDY.yaml --out"):
        export_preferences(tmp_path, "weak", tmp_path / "x.jsonl")
