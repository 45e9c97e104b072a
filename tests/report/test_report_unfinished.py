"""Reports of interrupted studies: they show the finished stages and list the missing ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.run_index import load_run_index
from trimtab.report.collect.report import collect_report
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.text.verdict import build_verdict
from trimtab.report.write_report import write_report
from trimtab.workflows.export import export_model, export_preferences


def copy_without(run_folder: Path, folder: Path, *kinds: str) -> Path:
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
    folder = copy_without(finished_run, tmp_path / "run", "generate", "score")
    for path in students:
        if "weak_model" not in path.name:
            (folder / "stages" / path.name / "record.json").unlink()
    return folder


def test_labels_are_reported_before_students_exist(no_students: Path) -> None:
    report = collect_report(no_students)
    assert [label.arm for label in report.labels] == ["human", "weak", "flipped"]
    assert report.labels[1].metrics["agreement"].n == 10
    arms = {arm.name: arm for arm in report.arms}
    assert arms["weak"].pending == ("student", "responses", "gold rewards")
    assert arms["base"].pending == ("responses", "gold rewards")


def test_the_first_note_lists_the_missing_stages(no_students: Path) -> None:
    report = write_report(no_students)
    stages = json.loads((no_students / "run.json").read_text())["stages"]
    assert 0 < len(report.missing_stages) < len(stages)
    assert report.notes[0].startswith(
        f"This study is not finished: {len(report.missing_stages)} of its {len(stages)} stages"
    )
    text = (no_students / "report.html").read_text()
    assert "This study is not finished" in text
    assert "not finished</td>" in text
    assert json.loads((no_students / "report.json").read_text())["missing_stages"] == list(report.missing_stages)
    assert report_from_json(report_to_json(report)) == report


def test_there_is_no_result_for_an_unfinished_student(finished_run: Path, tmp_path: Path) -> None:
    report = collect_report(copy_without(finished_run, tmp_path / "run", "generate", "score", "logprobs", "dpo"))
    assert build_verdict(report) == (
        "No result yet for weak labels: student, predictions on the test pairs, responses and gold rewards not finished.",
    )


def test_before_the_split_the_report_has_only_the_study(finished_run: Path, tmp_path: Path) -> None:
    kinds = {json.loads(path.read_text())["stage"] for path in finished_run.glob("stages/*/record.json")}
    report = write_report(copy_without(finished_run, tmp_path / "run", *kinds))
    assert not (report.data or report.labels or report.stage_costs)
    assert report.study.name == "tiny"
    assert "labels, student" in render_html(report)


def test_an_interrupted_run_has_an_index_of_all_its_stages(
    finished_run: Path, tiny_study: str, tmp_path: Path, runtime: Runtime
) -> None:
    folder = copy_without(finished_run, tmp_path / "run", "score")
    (folder / "run.json").unlink()

    def stop(index: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(Study.parse(tiny_study), folder, runtime, stop)
    complete, interrupted = load_run_index(finished_run), load_run_index(folder)
    # the files in labels/ are written at the end
    varying: dict[str, Any] = {"created": (), "label_files": {}}
    assert interrupted.model_copy(update=varying) == complete.model_copy(update=varying)
    assert all(name.startswith("score.") for name in collect_report(folder).missing_stages)


def test_an_unfinished_model_is_not_exported(no_students: Path, tmp_path: Path) -> None:
    assert export_preferences(no_students, "weak", tmp_path / "weak.jsonl").count == 10
    with pytest.raises(StoreError, match=r"is not finished \(no record.json\); run the study again"):
        export_model(no_students, "weak", tmp_path / "model", lambda message: None)
