"""Training curves, averaged over windows of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

# The maximum number of points of a curve. Each point is the mean over a window of steps.
MAX_POINTS = 120
_EXCLUDED_FIELDS = {"step", "epoch", "learning_rate", "grad_norm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCurve:
    """One training run. `steps` has the last step of each window; `values` has each metric's mean per window, None if
    nothing was logged there."""

    stage: str
    kind: str
    steps: tuple[int, ...]
    finished: bool = True
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


def build_training_curve(stage: str, records: Sequence[Mapping[str, Any]], *, finished: bool = True) -> TrainingCurve:
    """A curve of at most `MAX_POINTS` points, from log records in step order."""
    names = dict.fromkeys(name for record in records for name in record if name not in _EXCLUDED_FIELDS)
    windows = _split_into_windows(records)
    return TrainingCurve(
        stage=stage,
        kind=stage.partition(".")[0],
        steps=tuple(int(window[-1]["step"]) for window in windows),
        finished=finished,
        values={name: tuple(_mean_over_window(window, name) for window in windows) for name in names},
    )


def _split_into_windows(records: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    count = min(MAX_POINTS, len(records))
    edges = [round(index * len(records) / count) for index in range(count + 1)]
    return [records[start:end] for start, end in pairwise(edges)]


def _mean_over_window(window: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(record[name]) for record in window if name in record]
    return round(sum(values) / len(values), 6) if values else None
