"""A study that was killed before its students existed: the report shows what there is and says what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError
from trimtab.pipeline.executor import run_study
from trimtab.report.collect.report import collect_report
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.text.verdict import build_verdict
from trimtab.report.write_report import write_report
from trimtab.workflows.export import export_model, export_preferences


def without(run_folder: Path, folder: Path, *kinds: str) -> Path:
    """A copy of a run in which no stage of these kinds is finished."""
    shutil.copytree(run_folder, folder)
    for record in folder.glob("stages/*/record.json"):
        if json.loads(record.read_text())["stage"] in kinds:
            record.unlink()
    return folder


@pytest.fixture
def no_students(finished_run: Path, tmp_path: Path) -> Path:
    students = [path for path in finished_run.glob("stages/*") if path.name.startswith("dpo.")]
    assert students
    folder = without(finished_run, tmp_path / "run", "generate", "score")
    for path in students:
        if "weak_model" not in path.name:
            (folder / "stages" / path.name / "record.json").unlink()
    return folder


def test_labels_are_reported_before_there_are_students(no_students: Path) -> None:
    report = collect_report(no_students)
    assert [label.arm for label in report.labels] == ["human", "weak", "flipped"]
    assert report.labels[1].metrics["agreement"].n == 10
    arms = {arm.name: arm for arm in report.arms}
    assert arms["weak"].pending == ("student", "answers", "gold rewards")
    assert arms["base"].pending == ("answers", "gold rewards")


def test_what_is_missing_is_said_first_and_named(no_students: Path) -> None:
    report = write_report(no_students)
    stages = json.loads((no_students / "run.json").read_text())["stages"]
    assert 0 < len(report.missing_stages) < len(stages)
    assert report.notes[0].startswith(
        f"This study is not finished: {len(report.missing_stages)} of its {len(stages)} stages"
    )
    text = (no_students / "report.html").read_text()
    assert "This study is not finished" in text
    assert "not made yet" in text
    assert json.loads((no_students / "report.json").read_text())["missing"] == list(report.missing_stages)
    assert report_from_json(report_to_json(report)) == report


def test_nothing_is_claimed_of_a_student_that_is_not_there(finished_run: Path, tmp_path: Path) -> None:
    report = collect_report(without(finished_run, tmp_path / "run", "generate", "score", "logprobs", "dpo"))
    assert build_verdict(report) == (
        "Nothing can be said yet of weak labels: student, choices on the test pairs, answers and gold rewards still to come.",
    )


def test_before_the_split_there_is_the_study_alone(finished_run: Path, tmp_path: Path) -> None:
    kinds = {json.loads(path.read_text())["stage"] for path in finished_run.glob("stages/*/record.json")}
    report = write_report(without(finished_run, tmp_path / "run", *kinds))
    assert not (report.data or report.labels or report.stage_costs)
    assert report.study.name == "tiny"
    assert "labels, student" in render_html(report)


def test_a_run_that_stops_has_an_index_from_its_beginning(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime
) -> None:
    folder = without(finished_run, tmp_path / "run", "score")
    (folder / "run.json").unlink()

    def stop(place: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(Study.parse(tiny_study), folder, runtime, stop)
    whole = json.loads((finished_run / "run.json").read_text())
    stopped = json.loads((folder / "run.json").read_text())
    assert {**stopped, "made": []} == {**whole, "made": []}
    assert all(name.startswith("score.") for name in collect_report(folder).missing_stages)


def test_what_is_not_finished_is_not_handed_on(no_students: Path, tmp_path: Path) -> None:
    assert export_preferences(no_students, "weak", tmp_path / "weak.jsonl") == 10
    with pytest.raises(StoreError, match=r"is not finished \(no record.json\); run the study again"):
        export_model(no_students, "weak", tmp_path / "model", lambda message: None)
