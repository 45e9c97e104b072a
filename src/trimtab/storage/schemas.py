"""Table schemas of artifacts, and conversions between their rows and values."""

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
# `labels/ARM.parquet`: labels for use outside a study.
LABEL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("p_a", pa.float64()),
        ("margin", pa.float64()),
        ("status", pa.string()),
        ("annotator", pa.string()),
        ("weights", pa.string()),
        ("prompt_hash", pa.string()),
        ("tokens", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
COMPLETION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.string()),
        ("text", pa.string()),
        ("n_tokens", pa.int32()),
        ("finish_reason", pa.string()),
    ]
)
REWARD_SCHEMA = pa.schema([("id", pa.string()), ("a", pa.float64()), ("b", pa.float64())])
SCORE_SCHEMA = pa.schema([("id", pa.string()), ("value", pa.float64()), ("status", pa.string()), ("note", pa.string())])


def serialize_prompt(prompt: Prompt) -> str:
    """A prompt as JSON: an array of [role, content]."""
    return json.dumps([[message.role, message.content] for message in prompt], ensure_ascii=False)


def deserialize_prompt(text: str) -> Prompt:
    return tuple(Message(role=role, content=content) for role, content in json.loads(text))


def pairs_to_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    return [
        {"id": pair.id, "prompt": serialize_prompt(pair.prompt), "a": pair.a, "b": pair.b, "human": pair.human}
        for pair in pairs
    ]


def load_split_pairs(artifact: Artifact, split_name: str) -> list[Pair]:
    """The pairs of one split: `labeled`, `unlabeled` or `test`."""
    return [Pair(**{**row, "prompt": deserialize_prompt(row["prompt"])}) for row in artifact.read_rows(split_name)]


def cost_to_columns(cost: Cost) -> dict[str, float]:
    return {name: getattr(cost, name) for name in COST_COLUMNS}


def cost_from_row(row: Mapping[str, Any]) -> Cost:
    return Cost(**{name: row[name] for name in COST_COLUMNS})


def annotations_to_rows(annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    return [
        {
            "id": annotation.pair_id,
            "p_a": annotation.p_a,
            "margin": annotation.margin,
            "status": annotation.status,
            "note": annotation.note,
            **cost_to_columns(annotation.cost),
            "detail": json.dumps(annotation.detail, ensure_ascii=False) if annotation.detail else "",
        }
        for annotation in annotations
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
    """The annotations of a stage, by pair id."""
    return {row["id"]: annotation_from_row(row) for row in artifact.read_rows("annotations")}


def load_logprobs(artifact: Artifact) -> dict[str, ResponseScores]:
    """Summed log-probabilities, by pair id."""
    return {row.pop("id"): ResponseScores(**row) for row in artifact.read_rows("logprobs")}


def completion_to_row(completion: Completion) -> dict[str, Any]:
    return {
        "id": completion.prompt_id,
        "prompt": serialize_prompt(completion.prompt),
        "text": completion.text,
        "n_tokens": completion.n_tokens,
        "finish_reason": completion.finish_reason,
    }


def completion_from_row(row: Mapping[str, Any]) -> Completion:
    return Completion(
        prompt_id=row["id"],
        prompt=deserialize_prompt(row["prompt"]),
        text=row["text"],
        n_tokens=row["n_tokens"],
        finish_reason=row["finish_reason"],
    )


def load_completions(artifact: Artifact) -> list[Completion]:
    return [completion_from_row(row) for row in artifact.read_rows("completions")]


def scores_to_rows(scores: Iterable[Score]) -> list[dict[str, Any]]:
    return [
        {"id": score.prompt_id, "value": score.value, "status": score.status, "note": score.note} for score in scores
    ]


def load_scores(artifact: Artifact) -> dict[str, float]:
    """The scores by prompt id, without those that failed."""
    return {row["id"]: row["value"] for row in artifact.read_rows("scores") if row["status"] == "ok"}
