"""A finished run lends its models by the names that its study gives them; stages lend theirs by their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.component import build_component
from trimtab.core.interfaces import HasTrainingTask
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.workflows.model_references import ModelResolver

STUDY = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
"""
WEAK, STUDENT = Model(base="smollm2-135m-instruct", layers=4), Model(base="smollm2-135m-instruct")
DIGITS: dict[str, Any] = {"exam": {"answer": "digit"}}
STAGES: dict[str, dict[str, Any]] = {
    "sft.weak-model-000000000001": {},
    "dpo.weak-model-000000000002": {},
    "sft.student-000000000003": {},
    "preference.weak-model-000000000004": {},
    "preference.weak-model-prompted-000000000005": {"exam": {"shots": 2}},
    "preference.weak-model-prompted-000000000006": DIGITS,
    "preference.half-000000000007": {},
    "preference.half-prompted-000000000008": DIGITS,
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of which nothing but what tells of its models is there."""
    (tmp_path / "study.yaml").write_text(STUDY)
    arms = [{"name": "weak_model", "training": "dpo.weak-model-000000000002"}]
    (tmp_path / "run.json").write_text(json.dumps({"arms": arms, "stages": list(STAGES)}))
    for name, settings in STAGES.items():
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True)
        base = {"folder": "sft.weak-model-000000000001"} if name.startswith("dpo") else {"model": {"base": "any"}}
        (folder / "model.json").write_text(json.dumps({"base": base}))
        record = {"fingerprint": name[-12:], "settings": {"recipe": {}, **settings}}
        (folder / "record.json").write_text(json.dumps(record))
    return tmp_path


def asked_by(**settings: Any) -> TrainingTask:
    annotator = build_component("annotators", {"kind": "prompted", **settings})
    assert isinstance(annotator, HasTrainingTask)
    return annotator.training_task()


@pytest.mark.parametrize(
    ("name", "last"),
    [("@weak", 2), ("@weak.sft", 1), ("@student.sft", 3), ("@weak.preference", 4), ("@half.preference", 7)],
)
def test_what_a_run_trained_is_lent_by_its_name(run_dir: Path, name: str, last: int) -> None:
    found = ModelResolver(run_dir).resolve(name)
    assert isinstance(found, Path)
    assert found.resolve().name.endswith(f"-{last:012}")
    assert ModelResolver(run_dir).hash_engine(Transformers(model=name)) == f"{last:012}"


def test_models_as_they_were_published_are_those_of_the_study(run_dir: Path) -> None:
    assert [ModelResolver(run_dir).resolve(name) for name in ("@weak.base", "@student")] == [WEAK, STUDENT]


@pytest.mark.parametrize(("name", "last"), [("@weak.preference", 6), ("@half.preference", 8)])
def test_a_model_that_learned_to_answer_is_the_one_that_learned_this_question(
    run_dir: Path, name: str, last: int
) -> None:
    found = ModelResolver(run_dir, asked_by(answer="digit")).resolve(name)
    assert isinstance(found, Path)
    assert found.name.endswith(f"-{last:012}")


def test_a_model_is_lent_by_the_name_of_every_arm_whatever_its_folder_was_called_when_it_was_made(
    run_dir: Path,
) -> None:
    """An arm was renamed, or two arms have equal recipes: the folder bears one name."""
    index = json.loads((run_dir / "run.json").read_text())
    called = {"preference.new": ["preference.half-000000000007"], "preference.new-prompted": [list(STAGES)[-1]]}
    (run_dir / "run.json").write_text(json.dumps({**index, "choosers": called}))
    for exam, last in ((asked_by(), 7), (asked_by(answer="digit"), 8)):
        found = ModelResolver(run_dir, exam).resolve("@new.preference")
        assert isinstance(found, Path)
        assert found.name.endswith(f"-{last:012}")


def test_answers_of_a_student_that_was_trained_anew_are_kept_apart(run_dir: Path) -> None:
    lender, engine = ModelResolver(run_dir), Transformers(model="@half.preference")
    before, record = lender.cache_key(engine), run_dir / "stages" / "preference.half-000000000007" / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "again": "2026-01-01"}))
    assert lender.cache_key(engine) != before == lender.hash_engine(engine) == "000000000007"


def test_a_stage_is_lent_by_its_folder_without_a_run(run_dir: Path) -> None:
    folder = run_dir / "stages" / "preference.half-000000000007"
    assert ModelResolver(None).resolve(str(folder)) == folder
    assert ModelResolver(None).hash_engine(Transformers(model=str(folder))) == "000000000007"


@pytest.mark.parametrize(
    ("name", "settings", "wrong"),
    [
        ("@wek", {}, "no model '@wek' in a run .there are: @weak, @weak.sft, @weak.base, @weak.preference, @student"),
        ("@weak.dpo", {}, "no model '@weak.dpo' in a run"),
        ("@other.preference", {}, "trained no @other.preference; a study trains it where one of its arms asks it"),
        (
            "@half.preference",
            {"reasoning_tokens": 9},
            "trained no @half.preference for the question of prompted; a study trains it",
        ),
    ],
)
def test_a_model_that_the_run_did_not_train_is_refused_by_name(
    run_dir: Path, name: str, settings: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(StudyError, match=wrong):
        ModelResolver(run_dir, asked_by(**settings)).resolve(name)


def test_without_a_run_its_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="@student is a model of a study: name the folder of its run with --run DIR"):
        ModelResolver(None).resolve("@student")
