"""How a training went, step by step, thinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

# Points a curve has at most, each the mean of the steps it stands for.
POINTS = 120
_NOT_DRAWN = {"step", "epoch", "learning_rate", "grad_norm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One training. `steps` are the last steps that each point stands for, `values` each figure's means over them, None
    where nothing was logged."""

    stage: str
    kind: str
    steps: tuple[int, ...]
    finished: bool = True
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


def curve(stage: str, records: Sequence[Mapping[str, Any]], *, finished: bool = True) -> Curve:
    """A curve of at most `POINTS` points from a log's records, in the order of their steps."""
    names = dict.fromkeys(name for record in records for name in record if name not in _NOT_DRAWN)
    chunks = _chunks(records)
    return Curve(
        stage=stage,
        kind=stage.partition(".")[0],
        steps=tuple(int(chunk[-1]["step"]) for chunk in chunks),
        finished=finished,
        values={name: tuple(_mean(chunk, name) for chunk in chunks) for name in names},
    )


def plain(each: Curve) -> dict[str, Any]:
    """As JSON holds it."""
    values = {name: list(points) for name, points in each.values.items()}
    return {"kind": each.kind, "finished": each.finished, "steps": list(each.steps), "values": values}


def read_back(stage: str, document: Mapping[str, Any]) -> Curve:
    """What `plain` gave. Raises `KeyError` where a part is missing."""
    return Curve(
        stage=stage,
        kind=document["kind"],
        steps=tuple(document["steps"]),
        finished=document["finished"],
        values={name: tuple(points) for name, points in document["values"].items()},
    )


def _chunks(records: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    count = min(POINTS, len(records))
    edges = [round(place * len(records) / count) for place in range(count + 1)]
    return [records[low:high] for low, high in pairwise(edges)]


def _mean(chunk: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(record[name]) for record in chunk if name in record]
    return round(sum(values) / len(values), 6) if values else None
