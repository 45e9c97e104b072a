"""How verdicts of judges lie in a table, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from trimtab.stages.tables import COST_COLUMNS, cost_columns, cost_of
from trimtab.store import Artifact
from trimtab.types import Reading, Verdict

# `there` and `back` are what was named in each order, for people; `readings` has all of it, as JSON.
VERDICTS = pa.schema(
    [
        ("id", pa.string()),
        ("outcome", pa.string()),
        ("there", pa.string()),
        ("back", pa.string()),
        ("note", pa.string()),
        *COST_COLUMNS.items(),
        ("readings", pa.string()),
    ]
)


def verdict_rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "outcome": each.outcome,
            "there": each.there.named if each.there else None,
            "back": each.back.named if each.back else None,
            "note": each.note,
            **cost_columns(each.cost),
            "readings": json.dumps(
                [None if reading is None else asdict(reading) for reading in (each.there, each.back)],
                ensure_ascii=False,
            ),
        }
        for each in verdicts
    ]


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    there, back = map(_reading, json.loads(row["readings"]))
    return Verdict(
        id=row["id"],
        outcome=row["outcome"],
        there=there,
        back=back,
        note=row["note"],
        cost=cost_of(row),
    )


def verdicts_of(artifact: Artifact) -> dict[str, Verdict]:
    """The verdicts that a stage wrote, by the id of what was compared."""
    return {row["id"]: verdict_of(row) for row in artifact.rows("verdicts")}


def _reading(told: Mapping[str, Any] | None) -> Reading | None:
    if told is None:
        return None
    scores = told["scores"]
    return Reading(**{**told, "scores": None if scores is None else tuple(scores), "votes": tuple(told["votes"])})
