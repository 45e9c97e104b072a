"""Models of a finished run are resolved by name, and trained models by their folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.component import build_component
from trimtab.core.engine_configs import get_training_task
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.pipeline.run_index import RowIndex, RunIndex
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK
from trimtab.storage.record import write_record
from trimtab.workflows.export import export_model
from trimtab.workflows.model_references import ModelResolver

STUDY = """
name: small
data: {kind: starter, limit: 40}
models:
  weak: {base: smollm2-135m-instruct, layers: 4}
  weak_models: {deep: {base: smollm2-135m-instruct, layers: 8}}
  student: smollm2-135m-instruct
"""
WEAK, DEEP = (Model(base="smollm2-135m-instruct", layers=layers) for layers in (4, 8))
STUDENT = Model(base="smollm2-135m-instruct")
DIGITS: dict[str, Any] = {"training_task": {"answer_format": "digit"}}
STAGES: dict[str, dict[str, Any]] = {
    "sft.weak-model-000000000001": {},
    "dpo.weak-model-000000000002": {},
    "sft.student-000000000003": {},
    "preference-model.weak-model-000000000004": {},
    "preference-model.weak-model-prompted-000000000005": {"training_task": {"shots": 2}},
    "preference-model.weak-model-prompted-000000000006": DIGITS,
    "preference-model.half-000000000007": {},
    "preference-model.half-prompted-000000000008": DIGITS,
    "sft.weak-model.deep-000000000009": {},
    "dpo.weak-model.deep-000000000010": {},
    "preference-model.weak-model.deep-000000000011": {},
}

RECORD = {"name": "", "stage": "", "version": 1, "inputs": {}, "finished_at": "", "seconds": 1.0, "facts": {}}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with only the files that describe its models."""
    (tmp_path / "study.yaml").write_text(STUDY)
    write_index(tmp_path)
    for name, settings in STAGES.items():
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True)
        start = next(
            each for each in STAGES if each.rpartition("-")[0] == name.rpartition("-")[0].replace("dpo.", "sft.")
        )
        base = {"folder": start} if name.startswith("dpo") else {"model": {"base": "any"}}
        (folder / "model.json").write_text(json.dumps({"kind": "adapter", "base": base}))
        write_record(folder, RECORD | {"fingerprint": name[-12:], "settings": {"recipe": {}, **settings}})
    return tmp_path


def write_index(run_dir: Path, **changes: Any) -> None:
    names = {folder.rpartition("-")[0] for folder in STAGES if folder.startswith("preference-model")}
    preference_models = {name: [each for each in STAGES if each.rpartition("-")[0] == name] for name in names}
    row = RowIndex(name="weak_model", training="dpo.weak-model-000000000002")
    index = RunIndex(
        trimtab_version="0.1.0",
        study="small",
        split="split",
        stages=tuple(STAGES),
        **{"rows": (row,), "preference_models": preference_models, **changes},
    )
    index.save(run_dir)


def prompted_task(**settings: Any) -> TrainingTask:
    annotator = build_component("annotators", {"kind": "prompted", **settings})
    return get_training_task(annotator, DEFAULT_TRAINING_TASK)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("@weak", 2),
        ("@weak.sft", 1),
        ("@student.sft", 3),
        ("@weak.preference_model", 4),
        ("@half.preference_model", 7),
        ("@deep", 10),
        ("@deep.sft", 9),
        ("@deep.preference_model", 11),
    ],
)
def test_a_model_that_a_run_trained_is_resolved_by_its_name(run_dir: Path, name: str, last: int) -> None:
    source = ModelResolver(run_dir).resolve(name).source
    assert isinstance(source, Path)
    assert source.resolve().name.endswith(f"-{last:012}")
    assert ModelResolver(run_dir).hash_engine(Transformers(model=name)) == f"{last:012}"


def test_published_models_are_those_of_the_study(run_dir: Path) -> None:
    names = ("@weak.base", "@deep.base", "@student")
    assert [ModelResolver(run_dir).resolve(name).source for name in names] == [WEAK, DEEP, STUDENT]


@pytest.mark.parametrize(("name", "last"), [("@weak.preference_model", 6), ("@half.preference_model", 8)])
def test_a_preference_model_is_the_one_trained_on_this_training_task(run_dir: Path, name: str, last: int) -> None:
    source = ModelResolver(run_dir, prompted_task(answer_format="digit")).resolve(name).source
    assert isinstance(source, Path)
    assert source.name.endswith(f"-{last:012}")


def test_a_preference_model_is_resolved_by_the_name_of_every_arm_whatever_its_folder_is_called(
    run_dir: Path,
) -> None:
    """If an arm is renamed, or two arms have equal recipes, the folder has one name only."""
    folders = {
        "preference-model.new": ["preference-model.half-000000000007"],
        "preference-model.new-prompted": ["preference-model.half-prompted-000000000008"],
    }
    write_index(run_dir, preference_models=folders)
    for task, last in ((prompted_task(), 7), (prompted_task(answer_format="digit"), 8)):
        source = ModelResolver(run_dir, task).resolve("@new.preference_model").source
        assert isinstance(source, Path)
        assert source.name.endswith(f"-{last:012}")


def test_completions_of_a_retrained_model_have_another_cache_key(run_dir: Path) -> None:
    resolver, engine = ModelResolver(run_dir), Transformers(model="@half.preference_model")
    before = resolver.cache_key(engine)
    folder = run_dir / "stages" / "preference-model.half-000000000007"
    write_record(folder, {**json.loads((folder / "record.json").read_text()), "regenerated_at": "2026-01-01"})
    assert resolver.cache_key(engine) != before == resolver.hash_engine(engine) == "000000000007"


def test_a_trained_model_is_resolved_by_its_folder_without_a_run(run_dir: Path) -> None:
    folder = run_dir / "stages" / "preference-model.half-000000000007"
    assert ModelResolver(None).resolve(str(folder)).source == folder
    assert ModelResolver(None).hash_engine(Transformers(model=str(folder))) == "000000000007"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "@wek",
            {},
            "no model '@wek' in a run .available: @weak, @weak.sft, @weak.base, @weak.preference_model, @student",
        ),
        ("@weak.dpo", {}, "no model '@weak.dpo' in a run"),
        ("@other.preference_model", {}, "has no @other.preference_model; a study trains it if one of its arms uses it"),
        (
            "@half.preference_model",
            {"max_reasoning_tokens": 9},
            "has no @half.preference_model for the annotator prompted; a study trains it",
        ),
    ],
)
def test_a_model_that_the_run_did_not_train_is_rejected(
    run_dir: Path, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        ModelResolver(run_dir, prompted_task(**settings)).resolve(name)


def test_without_a_run_its_models_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match="@student is a model of a run: give the folder of the run with --models-from DIR"
    ):
        ModelResolver(None).resolve("@student")


def test_a_published_model_may_be_named_with_its_first_layers(tiny_model: Path) -> None:
    resolved = ModelResolver(None).resolve(f"{tiny_model}[:1]")
    assert resolved.source == Model(base=str(tiny_model), layers=1)
    assert Transformers(model=f"{tiny_model}[:1]").content_hash() == resolved.content_hash


def test_the_code_of_a_runs_models_is_executed_only_if_the_user_allows_it(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that somebody else made can name a model with code of its own, in its study and in the folders of its models."""
    monkeypatch.delenv("TRIMTAB_TRUST_REMOTE_CODE", raising=False)
    (run_dir / "study.yaml").write_text(STUDY.replace("layers: 4", "trust_remote_code: true"))
    base = {"model": {"base": "theirs/model", "trust_remote_code": True}}
    sft = run_dir / "stages" / "sft.weak-model-000000000001"
    (sft / "model.json").write_text(json.dumps({"kind": "adapter", "base": base}))
    resolver, student = ModelResolver(run_dir), run_dir / "stages" / "dpo.weak-model-000000000002"
    for name, place in (("@weak", run_dir), ("@weak.base", run_dir), (str(student), student)):
        with pytest.raises(StudyError, match=rf"^{place}: the model '.*' executes .* set TRIMTAB_TRUST_REMOTE_CODE=1"):
            resolver.resolve(name)
    write_index(run_dir, rows=(RowIndex(name="weak", training=student.name),))
    with pytest.raises(StudyError, match=f"^{run_dir}: the model 'theirs/model' executes"):
        export_model(run_dir, "weak", run_dir / "model", lambda message: None)
    monkeypatch.setenv("TRIMTAB_TRUST_REMOTE_CODE", "1")
    assert resolver.resolve(str(student)).root_settings.trust_remote_code
