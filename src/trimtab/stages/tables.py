"""How values lie in tables: a schema for each kind of row, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from trimtab.protocols import ResponseScores
from trimtab.store import Artifact
from trimtab.types import Annotation, Completion, Cost, Message, Pair, Prompt, Score

PAIRS = pa.schema(
    [("id", pa.string()), ("prompt", pa.string()), ("a", pa.string()), ("b", pa.string()), ("human", pa.string())]
)
LOGPROBS = pa.schema(
    [("id", pa.string()), ("a", pa.float64()), ("b", pa.float64()), ("n_a", pa.int32()), ("n_b", pa.int32())]
)
COST_COLUMNS = {
    "prompt_tokens": pa.int64(),
    "generated_tokens": pa.int64(),
    "reused_tokens": pa.int64(),
    "calls": pa.int64(),
    "seconds": pa.float64(),
}
ANNOTATIONS = pa.schema(
    [
        ("id", pa.string()),
        ("p_a", pa.float64()),
        ("margin", pa.float64()),
        ("status", pa.string()),
        ("note", pa.string()),
        *COST_COLUMNS.items(),
        ("detail", pa.string()),
    ]
)
COMPLETIONS = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("text", pa.string()),
        ("n_tokens", pa.int32()),
        ("stop", pa.string()),
    ]
)
REWARDS = pa.schema([("id", pa.string()), ("a", pa.float64()), ("b", pa.float64())])
SCORES = pa.schema([("id", pa.string()), ("value", pa.float64()), ("status", pa.string()), ("note", pa.string())])


def prompt_text(prompt: Prompt) -> str:
    """A prompt as JSON, an array of [role, content]."""
    return json.dumps([[message.role, message.content] for message in prompt], ensure_ascii=False)


def prompt_of(text: str) -> Prompt:
    return tuple(Message(role=role, content=content) for role, content in json.loads(text))


def pair_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    return [{"id": p.id, "prompt": prompt_text(p.prompt), "a": p.a, "b": p.b, "human": p.human} for p in pairs]


def pairs_of(artifact: Artifact, side: str) -> list[Pair]:
    """The pairs of one side of a split: labeled, unlabeled or test."""
    return [Pair(**{**row, "prompt": prompt_of(row["prompt"])}) for row in artifact.rows(side)]


def cost_columns(cost: Cost) -> dict[str, float]:
    return {name: getattr(cost, name) for name in COST_COLUMNS}


def cost_of(row: Mapping[str, Any]) -> Cost:
    return Cost(**{name: row[name] for name in COST_COLUMNS})


def annotation_rows(annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.pair_id,
            "p_a": each.p_a,
            "margin": each.margin,
            "status": each.status,
            "note": each.note,
            **cost_columns(each.cost),
            "detail": json.dumps(each.detail, ensure_ascii=False) if each.detail else "",
        }
        for each in annotations
    ]


def annotation_of(row: Mapping[str, Any]) -> Annotation:
    return Annotation(
        pair_id=row["id"],
        p_a=row["p_a"],
        margin=row["margin"],
        status=row["status"],
        note=row["note"],
        cost=cost_of(row),
        detail=json.loads(row["detail"]) if row["detail"] else {},
    )


def annotations_of(artifact: Artifact) -> dict[str, Annotation]:
    """The annotations that a stage wrote, by pair id."""
    return {row["id"]: annotation_of(row) for row in artifact.rows("annotations")}


def logprobs_of(artifact: Artifact) -> dict[str, ResponseScores]:
    """A table of summed log-probabilities, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.rows("logprobs")}


def completion_row(each: Completion) -> dict[str, Any]:
    return {
        "id": each.prompt_id,
        "prompt": prompt_text(each.prompt),
        "text": each.text,
        "n_tokens": each.n_tokens,
        "stop": each.stop,
    }


def completion_of(row: Mapping[str, Any]) -> Completion:
    return Completion(
        prompt_id=row["id"],
        prompt=prompt_of(row["prompt"]),
        text=row["text"],
        n_tokens=row["n_tokens"],
        stop=row["stop"],
    )


def completions_of(artifact: Artifact) -> list[Completion]:
    return [completion_of(row) for row in artifact.rows("completions")]


def score_rows(scores: Iterable[Score]) -> list[dict[str, Any]]:
    return [{"id": each.prompt_id, "value": each.value, "status": each.status, "note": each.note} for each in scores]


def scores_of(artifact: Artifact) -> dict[str, float]:
    """The scores by prompt id; those that failed are left out."""
    return {row["id"]: row["value"] for row in artifact.rows("scores") if row["status"] == "ok"}
