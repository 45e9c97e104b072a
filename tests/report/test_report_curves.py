"""Training curves: read from logs, thinned, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

from large_run import create_large_run

from trimtab.report.collect.report import collect_report
from trimtab.report.collect.training_curves import MAX_POINTS, TrainingCurve, build_training_curve
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.curve_figures import draw_training_curve


def test_a_short_log_keeps_every_step_and_only_learning_metrics() -> None:
    records = [
        {"step": 1, "loss": 0.7, "epoch": 0.5, "learning_rate": 1e-3},
        {"step": 2, "loss": 0.5, "grad_norm": 1.0},
    ]
    assert build_training_curve("dpo.weak", records) == TrainingCurve(
        stage="dpo.weak", kind="dpo", steps=(1, 2), values={"loss": (0.7, 0.5)}
    )


def test_a_long_log_is_averaged_over_windows_that_cover_all_steps() -> None:
    records = [{"step": step, "loss": float(step)} for step in range(1, 10 * MAX_POINTS + 1)]
    curve = build_training_curve("sft.weak", records)
    assert len(curve.steps) == MAX_POINTS
    assert curve.steps[:2] == (10, 20)
    assert curve.values["loss"][:2] == (5.5, 15.5)


def test_a_metric_that_only_some_steps_log_has_gaps() -> None:
    curve = build_training_curve("dpo.weak", [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6, "accuracy": 0.5}])
    assert curve.values["accuracy"] == (None, 0.5)
    assert "<svg" in draw_training_curve(curve)


def test_a_training_that_logged_neither_loss_nor_accuracy_is_not_drawn() -> None:
    assert draw_training_curve(build_training_curve("dpo.weak", [{"step": 1, "margin": 0.1}])) == ""


def test_an_unfinished_training_has_a_curve(tmp_path: Path) -> None:
    folder = create_large_run(tmp_path, 20, 4, words=5)
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
