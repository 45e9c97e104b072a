"""The table schema of judge verdicts, and conversions between its rows and values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from trimtab.storage.artifacts import Artifact
from trimtab.storage.schemas import COST_COLUMNS, cost_from_row, cost_to_columns
from trimtab.types import SingleVerdict, Verdict

# `forward` and `reversed` are the choices in each presentation order, for reading by eye; `single_verdicts` has both single
# verdicts in full, as JSON.
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
            "id": verdict.id,
            "outcome": verdict.outcome,
            "forward": verdict.forward.choice if verdict.forward else None,
            "reversed": verdict.reversed.choice if verdict.reversed else None,
            "note": verdict.note,
            **cost_to_columns(verdict.cost),
            "single_verdicts": json.dumps(
                [None if single is None else asdict(single) for single in (verdict.forward, verdict.reversed)],
                ensure_ascii=False,
            ),
        }
        for verdict in verdicts
    ]


def verdict_from_row(row: Mapping[str, Any]) -> Verdict:
    forward, reverse = map(_parse_single_verdict, json.loads(row["single_verdicts"]))
    return Verdict(
        id=row["id"],
        outcome=row["outcome"],
        forward=forward,
        reversed=reverse,
        note=row["note"],
        cost=cost_from_row(row),
    )


def load_verdicts(artifact: Artifact) -> dict[str, Verdict]:
    """The verdicts of a stage, by comparison id."""
    rows = artifact.read_rows("verdicts", VERDICT_SCHEMA)
    with artifact.translate_row_errors("verdicts"):
        return {row["id"]: verdict_from_row(row) for row in rows}


def _parse_single_verdict(fields: Mapping[str, Any] | None) -> SingleVerdict | None:
    if fields is None:
        return None
    scores = None if fields["scores"] is None else tuple(fields["scores"])
    return SingleVerdict(**{**fields, "scores": scores, "votes": tuple(fields["votes"])})
