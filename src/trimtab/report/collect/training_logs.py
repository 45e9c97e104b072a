"""Reads training logs of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.report.collect.training_curves import TrainingCurve, build_training_curve
from trimtab.report.run_reader import Run

TRAINING_LOG = "log.jsonl"


def collect_training_curves(run: Run) -> tuple[TrainingCurve, ...]:
    """One curve for each stage that trained or is training, in execution order."""
    logs = ((folder, run.folder / "stages" / folder / TRAINING_LOG) for folder in run.index.stages)
    return tuple(
        build_training_curve(folder.rpartition("-")[0], records, finished=run.is_finished(folder))
        for folder, path in logs
        if (records := _read_records(path))
    )


def _read_records(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log. Training may be writing the last line."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
