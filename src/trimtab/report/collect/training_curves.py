"""How a training went, step by step, thinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

# Points a curve has at most, each the mean of the steps it stands for.
MAX_POINTS = 120
_EXCLUDED_FIELDS = {"step", "epoch", "learning_rate", "grad_norm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCurve:
    """One training. `steps` are the last steps that each point stands for, `values` each figure's means over them, None
    where nothing was logged."""

    stage: str
    kind: str
    steps: tuple[int, ...]
    finished: bool = True
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


def build_training_curve(stage: str, records: Sequence[Mapping[str, Any]], *, finished: bool = True) -> TrainingCurve:
    """A curve of at most `POINTS` points from a log's records, in the order of their steps."""
    names = dict.fromkeys(name for record in records for name in record if name not in _EXCLUDED_FIELDS)
    chunks = _split_into_chunks(records)
    return TrainingCurve(
        stage=stage,
        kind=stage.partition(".")[0],
        steps=tuple(int(chunk[-1]["step"]) for chunk in chunks),
        finished=finished,
        values={name: tuple(_mean_over_chunk(chunk, name) for chunk in chunks) for name in names},
    )


def curve_to_json(each: TrainingCurve) -> dict[str, Any]:
    """As JSON holds it."""
    values = {name: list(points) for name, points in each.values.items()}
    return {"kind": each.kind, "finished": each.finished, "steps": list(each.steps), "values": values}


def curve_from_json(stage: str, document: Mapping[str, Any]) -> TrainingCurve:
    """What `plain` gave. Raises `KeyError` where a part is missing."""
    return TrainingCurve(
        stage=stage,
        kind=document["kind"],
        steps=tuple(document["steps"]),
        finished=document["finished"],
        values={name: tuple(points) for name, points in document["values"].items()},
    )


def _split_into_chunks(records: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    count = min(MAX_POINTS, len(records))
    edges = [round(place * len(records) / count) for place in range(count + 1)]
    return [records[low:high] for low, high in pairwise(edges)]


def _mean_over_chunk(chunk: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(record[name]) for record in chunk if name in record]
    return round(sum(values) / len(values), 6) if values else None
