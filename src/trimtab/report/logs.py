"""The logs of a run's trainings, read as curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.report.curves import Curve, curve
from trimtab.report.folder import Run

LOG = "log.jsonl"


def curves_of(run: Run) -> tuple[Curve, ...]:
    """One for each stage that trained or is training, in the order in which they are made."""
    logs = ((name, run.folder / "stages" / name / LOG) for name in run.index["stages"])
    return tuple(
        curve(name.rpartition("-")[0], records, finished=run.finished(name))
        for name, path in logs
        if (records := _records(path))
    )


def _records(path: Path) -> list[dict[str, Any]]:
    """The log's lines that are whole: training may be writing the next."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
