"""The logs of a run's trainings, read as curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.report.collect.training_curves import TrainingCurve, build_training_curve
from trimtab.report.run_reader import Run

TRAINING_LOG = "log.jsonl"


def collect_training_curves(run: Run) -> tuple[TrainingCurve, ...]:
    """One for each stage that trained or is training, in the order in which they are made."""
    logs = ((name, run.folder / "stages" / name / TRAINING_LOG) for name in run.index.stages)
    return tuple(
        build_training_curve(name.rpartition("-")[0], records, finished=run.is_finished(name))
        for name, path in logs
        if (records := _read_records(path))
    )


def _read_records(path: Path) -> list[dict[str, Any]]:
    """The log's lines that are whole: training may be writing the next."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
