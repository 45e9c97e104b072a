"""A measurement that fails, and an arm without labels, are recorded, and everything else of the study still finishes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StoreError, TrainingError
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.run_index import load_run_index
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_errors import name_stage_in_errors
from trimtab.report.collect.report import collect_report
from trimtab.types import Completion, Score


class Broken(Component):
    """A scorer that cannot score; `bug` raises an error that is not one of ours."""

    bug: bool = False

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise ZeroDivisionError("no completions") if self.bug else DataError("the scorer's model is gone")

    def content_hash(self) -> str:
        return "broken"


SCORERS = f'{{gone: {{kind: "{__name__}:Broken"}}, bug: {{kind: "{__name__}:Broken", bug: true}}}}'


def test_a_failed_measurement_is_a_note_in_the_report(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    study = Study.parse(tiny_study, [f"scorers={SCORERS}"])
    result = run_study(study, folder, runtime, lambda number, total, name: None)
    errors = result.failed_stages
    assert errors["score.base.gone"] == "score.base.gone: the scorer's model is gone"
    assert "ZeroDivisionError: no completions (in stage score.base.bug)" in errors["score.base.bug"]
    assert load_run_index(folder).failed_stages == errors
    notes = collect_report(folder).notes
    assert any("score.base.gone: the scorer's model is gone" in note for note in notes)


def test_an_arm_without_labels_is_left_out_and_the_other_arms_finish(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    arm = "{annotator: human, filter: {kind: agreement, arm: human, keep: mismatch}}"
    study = Study.parse(tiny_study, [f"arms.disputed={arm}"])
    messages: list[str] = []
    result = run_study(study, folder, replace(runtime, notify=messages.append), lambda number, total, name: None)
    assert list(result.failed_stages) == ["filter.disputed"]
    error = result.failed_stages["filter.disputed"]
    assert "no labels kept: the arm 'human' prefers the other response on none of" in error
    assert f"{error}; the study continues without this arm" in messages
    report = collect_report(folder)
    assert any(error in note for note in report.notes)
    assert {"filter.disputed", "dpo.disputed"} <= {name.rpartition("-")[0] for name in report.missing_stages}
    assert {path.stem for path in (folder / "labels").iterdir()} == {"human", "weak", "flipped"}
    assert run_study(study, folder, runtime, lambda number, total, name: None).created == ()


def test_labels_and_training_come_before_every_measurement(tiny_study: str) -> None:
    plan = build_plan(Study.parse(tiny_study))
    stages = plan.stages
    last_training = max(index for index, stage in enumerate(stages) if stage.role == "training")
    assert [stage.fingerprint for stage in stages[: last_training + 1]] == [
        stage.fingerprint for stage in plan.training_stages
    ]
    assert not any(stage.kind in ("generate", "score", "kl", "judge") for stage in stages[:last_training])


def build_stage(name: str) -> Stage:
    return Stage(name=name, kind="test", execute=lambda draft, inputs, runtime: {})


@pytest.mark.parametrize("error", [DataError("empty"), StoreError("full"), TrainingError("nan")])
def test_an_error_names_its_stage_and_arm(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, name_stage_in_errors(build_stage("sft.student"), "noisy"):
        raise error
    assert str(caught.value) == f"sft.student (arm noisy): {error}"


def test_an_error_that_already_names_its_stage_is_unchanged() -> None:
    with pytest.raises(DataError, match=r"^dpo\.weak: empty$"), name_stage_in_errors(build_stage("dpo.weak")):
        raise DataError("dpo.weak: empty")
