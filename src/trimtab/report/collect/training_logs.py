"""Reads training logs of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.report.collect.training_curves import TrainingCurve, build_training_curve
from trimtab.report.run_reader import Run
from trimtab.storage.readers import translate_read_errors
from trimtab.storage.record import describe_remedy

TRAINING_LOG = "log.jsonl"


def collect_training_curves(run: Run) -> tuple[TrainingCurve, ...]:
    """One curve for each stage that trained or is training, in execution order."""
    curves = (_load_curve(run, name, run.folder / "stages" / name) for name in run.index.stages)
    return tuple(curve for curve in curves if curve is not None)


def _load_curve(run: Run, name: str, folder: Path) -> TrainingCurve | None:
    finished, path = run.is_finished(name), folder / TRAINING_LOG
    if not path.is_file():
        return None
    if finished:
        run.artifact(name)  # compares its files with their content hashes
    with translate_read_errors(path, describe_remedy(folder)):
        records = _read_records(path)
        return build_training_curve(name.rpartition("-")[0], records, finished=finished) if records else None


def _read_records(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log. Training may be writing the last line."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
