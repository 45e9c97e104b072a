"""How verdicts of judges lie in a table, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from trimtab.storage.artifacts import Artifact
from trimtab.storage.schemas import COST_COLUMNS, cost_from_row, cost_to_columns
from trimtab.types import SingleVerdict, Verdict

# `there` and `back` are what was named in each order, for people; `readings` has all of it, as JSON.
VERDICT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("outcome", pa.string()),
        ("forward", pa.string()),
        ("reversed", pa.string()),
        ("note", pa.string()),
        *COST_COLUMNS.items(),
        ("single_verdicts", pa.string()),
    ]
)


def verdicts_to_rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "outcome": each.outcome,
            "forward": each.forward.choice if each.forward else None,
            "reversed": each.reversed.choice if each.reversed else None,
            "note": each.note,
            **cost_to_columns(each.cost),
            "single_verdicts": json.dumps(
                [None if reading is None else asdict(reading) for reading in (each.forward, each.reversed)],
                ensure_ascii=False,
            ),
        }
        for each in verdicts
    ]


def verdict_from_row(row: Mapping[str, Any]) -> Verdict:
    there, back = map(_parse_single_verdict, json.loads(row["single_verdicts"]))
    return Verdict(
        id=row["id"],
        outcome=row["outcome"],
        forward=there,
        reversed=back,
        note=row["note"],
        cost=cost_from_row(row),
    )


def load_verdicts(artifact: Artifact) -> dict[str, Verdict]:
    """The verdicts that a stage wrote, by the id of what was compared."""
    return {row["id"]: verdict_from_row(row) for row in artifact.read_rows("verdicts")}


def _parse_single_verdict(told: Mapping[str, Any] | None) -> SingleVerdict | None:
    if told is None:
        return None
    scores = told["scores"]
    return SingleVerdict(**{**told, "scores": None if scores is None else tuple(scores), "votes": tuple(told["votes"])})
