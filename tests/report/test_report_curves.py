"""Training curves: read from logs, thinned, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

from large_run import make_large

from trimtab.report.collect.report import collect_report
from trimtab.report.collect.training_curves import MAX_POINTS, TrainingCurve, build_training_curve
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.curve_figures import draw_training_curve


def test_a_short_log_is_kept_step_by_step_without_what_says_nothing_of_learning() -> None:
    records = [
        {"step": 1, "loss": 0.7, "epoch": 0.5, "learning_rate": 1e-3},
        {"step": 2, "loss": 0.5, "grad_norm": 1.0},
    ]
    assert build_training_curve("dpo.weak", records) == TrainingCurve(
        stage="dpo.weak", kind="dpo", steps=(1, 2), values={"loss": (0.7, 0.5)}
    )


def test_a_long_log_is_averaged_in_windows_that_leave_no_step_out() -> None:
    records = [{"step": step, "loss": float(step)} for step in range(1, 10 * MAX_POINTS + 1)]
    found = build_training_curve("sft.weak", records)
    assert len(found.steps) == MAX_POINTS
    assert found.steps[:2] == (10, 20)
    assert found.values["loss"][:2] == (5.5, 15.5)


def test_what_only_some_steps_log_has_gaps() -> None:
    found = build_training_curve("dpo.weak", [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6, "accuracy": 0.5}])
    assert found.values["accuracy"] == (None, 0.5)
    assert "<svg" in draw_training_curve(found)


def test_a_training_that_logged_neither_loss_nor_accuracy_is_not_drawn() -> None:
    assert draw_training_curve(build_training_curve("dpo.weak", [{"step": 1, "margin": 0.1}])) == ""


def test_a_training_that_goes_on_is_shown_as_far_as_it_has_come(tmp_path: Path) -> None:
    folder = make_large(tmp_path, 20, 4, words=5)
    (stage,) = folder.glob("stages/dpo.weak-*")
    (stage / "record.json").unlink()
    with (stage / "log.jsonl").open("a") as log:
        log.write('{"step": 401, "lo')
    report = collect_report(folder)
    curves = {each.stage: each for each in report.training_curves}
    assert not curves["dpo.weak"].finished
    assert curves["dpo.weak"].steps[-1] == 400
    assert curves["dpo.human"].finished
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
