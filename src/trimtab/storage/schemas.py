"""Table schemas of artifacts, and conversions between their rows and values."""

from __future__ import annotations

import json
import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from trimtab.core.annotator_inputs import ResponseScores
from trimtab.errors import StoreError
from trimtab.storage.artifacts import Artifact
from trimtab.storage.disk_sequence import DiskSequence
from trimtab.storage.record import describe_remedy
from trimtab.storage.stored_table import ValuesById
from trimtab.types import Annotation, Completion, Cost, Message, Pair, Prompt, RowOrigin, Score

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
_NO_COST = Cost()
# Hashes of normalized prompts.
PROMPT_HASH_SCHEMA = pa.schema([("prompt_hash", pa.string())])
# The row of a file that each pair was read from.
ORIGIN_SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("first", pa.string()),
        ("columns", pa.list_(pa.string())),
    ]
)
# The models that wrote the responses of each pair, for pairs whose rows name them.
RESPONSE_MODEL_SCHEMA = pa.schema([("pair_id", pa.string()), ("a", pa.string()), ("b", pa.string())])
# Labels by pair id, for use outside a study.
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
# The version of the columns of label files (docs/schema/labels.json), in the metadata of Parquet files. Higher if a column is
# removed, renamed or changed; not for a new column.
LABELS_SCHEMA_VERSION = 1
LABELS_METADATA = {"trimtab_labels_schema_version": str(LABELS_SCHEMA_VERSION)}
# `labels/ARM.parquet`: the same, next to the texts in the order of the user's row.
LABEL_FILE_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("prompt", pa.string()),
        ("response_1", pa.string()),
        ("response_2", pa.string()),
        ("preferred", pa.string()),
        ("probability", pa.float64()),
        *LABEL_SCHEMA,
    ],
    metadata=LABELS_METADATA,
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
# The tokens of a completion, with the end of turn if it has one, and their log-probability at temperature 1, in nats.
SAMPLED_TOKENS_SCHEMA = pa.schema([("id", pa.string()), ("token_ids", pa.list_(pa.int32())), ("logprob", pa.float64())])
REWARD_SCHEMA = pa.schema([("id", pa.string()), ("a", pa.float64()), ("b", pa.float64())])
SCORE_SCHEMA = pa.schema([("id", pa.string()), ("value", pa.float64()), ("status", pa.string()), ("note", pa.string())])


def serialize_prompt(prompt: Prompt) -> str:
    """A prompt as JSON: an array of [role, content]."""
    return json.dumps([[message.role, message.content] for message in prompt], ensure_ascii=False)


def deserialize_prompt(text: str) -> Prompt:
    return tuple(Message(role=role, content=content) for role, content in json.loads(text))


def pairs_to_rows(pairs: Iterable[Pair]) -> Iterator[dict[str, Any]]:
    return (
        {"id": pair.id, "prompt": serialize_prompt(pair.prompt), "a": pair.a, "b": pair.b, "human": pair.human}
        for pair in pairs
    )


def load_origins(artifact: Artifact) -> dict[str, RowOrigin]:
    """The first row of each pair of a split, by pair id. Empty for a split without files."""
    return {origin.pair_id: origin for origin in iter_origins(artifact)}


def iter_origins(artifact: Artifact) -> Iterable[RowOrigin]:
    """The first row of each pair of a split, one at a time."""
    if not (artifact.folder / "origins.parquet").is_file():
        return ()
    return artifact.open_table("origins", ORIGIN_SCHEMA, _origin_from_row).as_sequence()


def load_response_models(artifact: Artifact) -> dict[str, tuple[str, str]]:
    """The models of each pair's responses a and b, by pair id. Empty if the rows of a split name none."""
    if not (artifact.folder / "response_models.parquet").is_file():
        return {}
    rows = artifact.read_rows("response_models", RESPONSE_MODEL_SCHEMA)
    return {row["pair_id"]: (row["a"], row["b"]) for row in rows}


def _origin_from_row(row: dict[str, Any]) -> RowOrigin:
    return RowOrigin(**{**row, "columns": tuple(row["columns"])})


def load_split_pairs(artifact: Artifact, split_name: str) -> Sequence[Pair]:
    """The pairs of one split: `labeled`, `unlabeled` or `test`. They are read when they are accessed."""
    return artifact.open_table(split_name, PAIR_SCHEMA, _pair_from_row).as_sequence()


def load_pairs_by_id(artifact: Artifact, split_name: str) -> Mapping[str, Pair]:
    """The same pairs by id."""
    return ValuesById(artifact.open_table(split_name, PAIR_SCHEMA, _pair_from_row), "id")


def _pair_from_row(row: dict[str, Any]) -> Pair:
    return Pair(**{**row, "prompt": deserialize_prompt(row["prompt"])})


def cost_to_columns(cost: Cost) -> dict[str, float]:
    return {name: getattr(cost, name) for name in COST_COLUMNS}


def cost_from_row(row: Mapping[str, Any]) -> Cost:
    return Cost(**{name: row[name] for name in COST_COLUMNS})


def annotations_to_rows(annotations: Iterable[Annotation]) -> Iterator[dict[str, Any]]:
    return (
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
    )


def annotation_from_row(row: Mapping[str, Any]) -> Annotation:
    return Annotation(
        pair_id=row["id"],
        p_a=row["p_a"],
        margin=row["margin"],
        status=row["status"],
        note=row["note"],
        cost=cost_from_row(row) if any(map(row.__getitem__, COST_COLUMNS)) else _NO_COST,
        detail=json.loads(row["detail"]) if row["detail"] else {},
    )


def create_annotation_sequence() -> DiskSequence[Annotation]:
    """Annotations in a temporary file."""
    return DiskSequence(_encode_annotation, _decode_annotation)


def _encode_annotation(annotation: Annotation) -> bytes:
    p_a, margin, cost = annotation.p_a, annotation.margin, annotation.cost
    values = (
        str(annotation.pair_id),
        None if p_a is None else float(p_a),  # numbers of NumPy have another form in a file
        None if margin is None else float(margin),
        str(annotation.status),
        str(annotation.note),
        "" if cost == _NO_COST else json.dumps(cost_to_columns(cost), default=float),
        json.dumps(annotation.detail, default=float) if annotation.detail else "",
    )
    return marshal.dumps(values)


def _decode_annotation(data: bytes) -> Annotation:
    pair_id, p_a, margin, status, note, cost, detail = marshal.loads(data)  # noqa: S302 - written by this process
    return Annotation(
        pair_id=pair_id,
        p_a=p_a,
        margin=margin,
        status=status,
        note=note,
        cost=Cost(**json.loads(cost)) if cost else _NO_COST,
        detail=json.loads(detail) if detail else {},
    )


def load_annotations(artifact: Artifact) -> Mapping[str, Annotation]:
    """The annotations of a stage, by pair id. They are read when they are accessed."""
    return ValuesById(artifact.open_table("annotations", ANNOTATION_SCHEMA, annotation_from_row), "id")


def order_labels(labels: Mapping[str, Annotation], pairs: Iterable[Pair]) -> Sequence[Annotation]:
    """The labels of these pairs, in a temporary file."""
    ordered = create_annotation_sequence()
    for pair in pairs:
        ordered.append(labels[pair.id])
    return ordered.as_sequence()


def load_annotation(artifact: Artifact, pair_id: str) -> Annotation:
    """The annotation of one pair, without parsing the others. Raises `StoreError` if the stage has none."""
    rows = artifact.read_rows("annotations", ANNOTATION_SCHEMA)
    row = next((row for row in rows if row["id"] == pair_id), None)
    if row is None:
        raise StoreError(f"{artifact.folder}: there is no label of pair {pair_id}; {describe_remedy(artifact.folder)}")
    with artifact.translate_row_errors("annotations"):
        return annotation_from_row(row)


def load_logprobs(artifact: Artifact) -> dict[str, ResponseScores]:
    """Summed log-probabilities, by pair id."""
    rows = artifact.read_rows("logprobs", LOGPROB_SCHEMA)
    with artifact.translate_row_errors("logprobs"):
        return {row.pop("id"): ResponseScores(**row) for row in rows}


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
    rows = artifact.read_rows("completions", COMPLETION_SCHEMA)
    with artifact.translate_row_errors("completions"):
        return [completion_from_row(row) for row in rows]


def scores_to_rows(scores: Iterable[Score]) -> list[dict[str, Any]]:
    return [
        {"id": score.prompt_id, "value": score.value, "status": score.status, "note": score.note} for score in scores
    ]


def load_scores(artifact: Artifact) -> dict[str, float]:
    """The scores by prompt id, without those that failed."""
    rows = artifact.read_rows("scores", SCORE_SCHEMA)
    return {row["id"]: row["value"] for row in rows if row["status"] == "ok"}
