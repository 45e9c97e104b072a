"""Writes `labels/ARM.parquet`: the labels of each arm and round, for use outside the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.pipeline.plan import Plan
from trimtab.pipeline.stage import Stage
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.content_hashes import hash_file
from trimtab.storage.id_index import IdIndex
from trimtab.storage.schemas import LABEL_FILE_SCHEMA, iter_origins, load_annotations, load_split_pairs
from trimtab.types import Annotation, Choice, Pair, RowOrigin, format_conversation

LABELS_DIR = "labels"


def write_label_files(plan: Plan, artifacts: Mapping[str, Artifact], folder: Path) -> dict[str, str]:
    """Writes one file per arm with one row per unlabeled pair: where it was read from, its texts and its label.

    A later round of an arm has a file of its own, such as `weak.round-2`. `artifacts` are keyed by fingerprint. Returns the
    SHA-256 of each file by name, without arms that have no labels.
    """
    hashes: dict[str, str] = {}
    pools: dict[str, _Pool] = {}
    for name, annotator, labels_stage, split_stage in _list_labels(plan):
        if labels_stage.fingerprint not in artifacts:
            continue
        split = split_stage.fingerprint
        pool = pools[split] = pools[split] if split in pools else _Pool.of_split(artifacts[split])
        seconds = _labeling_seconds(labels_stage, artifacts) / max(1, len(pool.pairs))
        weights = " ".join(stage.fingerprint for key, stage in labels_stage.input_stages.items() if key != "split")
        shared = {"annotator": annotator, "weights": weights, "seconds": seconds}
        labels = load_annotations(artifacts[labels_stage.fingerprint]).values()
        rows = (
            _build_row(pool.pairs, pool.positions.get(label.pair_id), label, pool.origins, shared) for label in labels
        )
        path = get_label_file(folder, name)
        path.parent.mkdir(exist_ok=True)
        Draft(folder=path.parent).write_rows(name, rows, LABEL_FILE_SCHEMA)
        hashes[name] = hash_file(path)
    return hashes


def _list_labels(plan: Plan) -> Iterator[tuple[str, str, Stage, Stage]]:
    """The name and the annotator of each arm and each later round, its labels, and the split of their pairs."""
    for row in plan.rows:
        later = plan.rounds.get(row.name)
        if row.labels is not None:
            yield row.name, row.annotator, row.labels, plan.split
        elif later is not None:
            yield row.name, row.annotator, later.labels, later.pairs


def _build_row(
    pairs: Sequence[Pair], position: int, label: Annotation, origins: _OriginColumns, shared: Mapping[str, Any]
) -> dict[str, Any]:
    pair = pairs[position]
    return {
        **describe_label(pair, label, origins.read(pair.id, position)),
        **shared,
        "id": pair.id,
        "p_a": label.p_a,
        "margin": label.margin,
        "status": label.status,
        "prompt_hash": pair.prompt_id,
        "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
        "seconds": max(shared["seconds"], label.cost.seconds),
    }


@dataclass(frozen=True, slots=True)
class _OriginColumns:
    """The rows that pairs were read from, by the position of the pair. A row of 0 means that there is none."""

    files: Sequence[str]
    file_numbers: NDArray[np.int32]
    rows: NDArray[np.int64]
    is_a_first: NDArray[np.bool_]

    @classmethod
    def of_split(cls, split: Artifact, positions: IdIndex, num_pairs: int) -> _OriginColumns:
        files: dict[str, int] = {}
        file_numbers, rows = np.zeros(num_pairs, np.int32), np.zeros(num_pairs, np.int64)
        is_a_first = np.zeros(num_pairs, np.bool_)
        for origin in iter_origins(split):
            position = positions.find(origin.pair_id)
            if position is not None:
                file_numbers[position] = files.setdefault(origin.file, len(files))
                rows[position], is_a_first[position] = origin.row, origin.first == "a"
        return cls(list(files), file_numbers, rows, is_a_first)

    def read(self, pair_id: str, position: int) -> RowOrigin | None:
        if not self.rows[position]:
            return None
        return RowOrigin(
            pair_id=pair_id,
            file=self.files[self.file_numbers[position]],
            row=int(self.rows[position]),
            first="a" if self.is_a_first[position] else "b",
        )


@dataclass(frozen=True, slots=True)
class _Pool:
    """The unlabeled pairs of a split, their positions by id, and where they were read from."""

    pairs: Sequence[Pair]
    positions: IdIndex
    origins: _OriginColumns

    @classmethod
    def of_split(cls, split: Artifact) -> _Pool:
        pairs = load_split_pairs(split, "unlabeled")
        positions = IdIndex(pair.id for pair in pairs)
        return cls(pairs, positions, _OriginColumns.of_split(split, positions, len(pairs)))


def get_label_file(folder: Path, arm: str) -> Path:
    """The file with an arm's labels in a run folder."""
    return folder / LABELS_DIR / f"{arm}.parquet"


def describe_label(pair: Pair, label: Annotation, origin: RowOrigin | None) -> dict[str, Any]:
    """The texts and the label of a pair, in the order of the row that it was read from, or of the pair if there is none."""
    order: tuple[Choice, Choice] = ("b", "a") if origin is not None and origin.first == "b" else ("a", "b")
    preferred = None if label.choice is None else f"response_{1 + order.index(label.choice)}"
    prompt = pair.prompt[0].content if len(pair.prompt) == 1 else format_conversation(pair.prompt)
    return {
        "file": origin.file if origin is not None else None,
        "row": origin.row if origin is not None else None,
        "prompt": prompt,
        "response_1": pair.response(order[0]),
        "response_2": pair.response(order[1]),
        "preferred": preferred,
        "probability": None if label.p_a is None else max(label.p_a, 1 - label.p_a),
    }


def _labeling_seconds(labels: Stage, artifacts: Mapping[str, Artifact]) -> float:
    """The seconds of the label stages and of the pair tables they read, without training."""
    stages = [labels]
    while stages[-1].role == "label_transform":
        stages.append(stages[-1].input_stages["labels"])
    tables = [stage for stage in stages[-1].input_stages.values() if stage.role == "pair_table"]
    return sum(float(artifacts[stage.fingerprint].record["seconds"]) for stage in (*stages, *tables))
