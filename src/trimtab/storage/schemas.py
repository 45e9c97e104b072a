"""How values lie in tables: a schema for each kind of row, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from trimtab.core.annotator_inputs import ResponseScores
from trimtab.storage.artifacts import Artifact
from trimtab.types import Annotation, Completion, Cost, Message, Pair, Prompt, Score

PAIR_SCHEMA = pa.schema(
    [("id", pa.string()), ("prompt", pa.string()), ("a", pa.string()), ("b", pa.string()), ("human", pa.string())]
)
LOGPROB_SCHEMA = pa.schema(
    [("id", pa.string()), ("a", pa.float64()), ("b", pa.float64()), ("n_a", pa.int32()), ("n_b", pa.int32())]
)
COST_COLUMNS = {
    "prompt_tokens": pa.int64(),
    "generated_tokens": pa.int64(),
    "cached_tokens": pa.int64(),
    "calls": pa.int64(),
    "seconds": pa.float64(),
}
ANNOTATION_SCHEMA = pa.schema(
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
COMPLETION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("text", pa.string()),
        ("n_tokens", pa.int32()),
        ("stop", pa.string()),
    ]
)
REWARD_SCHEMA = pa.schema([("id", pa.string()), ("a", pa.float64()), ("b", pa.float64())])
SCORE_SCHEMA = pa.schema([("id", pa.string()), ("value", pa.float64()), ("status", pa.string()), ("note", pa.string())])


def serialize_prompt(prompt: Prompt) -> str:
    """A prompt as JSON, an array of [role, content]."""
    return json.dumps([[message.role, message.content] for message in prompt], ensure_ascii=False)


def deserialize_prompt(text: str) -> Prompt:
    return tuple(Message(role=role, content=content) for role, content in json.loads(text))


def pairs_to_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    return [{"id": p.id, "prompt": serialize_prompt(p.prompt), "a": p.a, "b": p.b, "human": p.human} for p in pairs]


def load_split_pairs(artifact: Artifact, side: str) -> list[Pair]:
    """The pairs of one side of a split: labeled, unlabeled or test."""
    return [Pair(**{**row, "prompt": deserialize_prompt(row["prompt"])}) for row in artifact.read_rows(side)]


def cost_to_columns(cost: Cost) -> dict[str, float]:
    return {name: getattr(cost, name) for name in COST_COLUMNS}


def cost_from_row(row: Mapping[str, Any]) -> Cost:
    return Cost(**{name: row[name] for name in COST_COLUMNS})


def annotations_to_rows(annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.pair_id,
            "p_a": each.p_a,
            "margin": each.margin,
            "status": each.status,
            "note": each.note,
            **cost_to_columns(each.cost),
            "detail": json.dumps(each.detail, ensure_ascii=False) if each.detail else "",
        }
        for each in annotations
    ]


def annotation_from_row(row: Mapping[str, Any]) -> Annotation:
    return Annotation(
        pair_id=row["id"],
        p_a=row["p_a"],
        margin=row["margin"],
        status=row["status"],
        note=row["note"],
        cost=cost_from_row(row),
        detail=json.loads(row["detail"]) if row["detail"] else {},
    )


def load_annotations(artifact: Artifact) -> dict[str, Annotation]:
    """The annotations that a stage wrote, by pair id."""
    return {row["id"]: annotation_from_row(row) for row in artifact.read_rows("annotations")}


def load_logprobs(artifact: Artifact) -> dict[str, ResponseScores]:
    """A table of summed log-probabilities, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.read_rows("logprobs")}


def completion_to_row(each: Completion) -> dict[str, Any]:
    return {
        "id": each.prompt_id,
        "prompt": serialize_prompt(each.prompt),
        "text": each.text,
        "n_tokens": each.n_tokens,
        "stop": each.finish_reason,
    }


def completion_from_row(row: Mapping[str, Any]) -> Completion:
    return Completion(
        prompt_id=row["id"],
        prompt=deserialize_prompt(row["prompt"]),
        text=row["text"],
        n_tokens=row["n_tokens"],
        finish_reason=row["stop"],
    )


def load_completions(artifact: Artifact) -> list[Completion]:
    return [completion_from_row(row) for row in artifact.read_rows("completions")]


def scores_to_rows(scores: Iterable[Score]) -> list[dict[str, Any]]:
    return [{"id": each.prompt_id, "value": each.value, "status": each.status, "note": each.note} for each in scores]


def load_scores(artifact: Artifact) -> dict[str, float]:
    """The scores by prompt id; those that failed are left out."""
    return {row["id"]: row["value"] for row in artifact.read_rows("scores") if row["status"] == "ok"}
