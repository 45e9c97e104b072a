"""The split of a study and the labels of an arm are written without holding the texts of the pairs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.stages import annotate
from trimtab.storage import disk_sequence, row_groups
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_annotations, load_split_pairs

STUDY = """
name: many-pairs
data: {{kind: file, path: {pairs}}}
split: {{labeled: 0.1, test: 0.1}}
max_length: 8000
models: {{weak: {model}, student: {model}}}
arms: {{longest: {{annotator: length, labels_only: true}}}}
"""
TEXT_LENGTH = 1500
FEW, MANY = 60, 240
# Less than the texts of a pair, which are the smallest part of what its Python objects hold.
MAX_BYTES_PER_PAIR = TEXT_LENGTH


def write_pairs(path: Path, count: int) -> Path:
    texts = {"chosen": "b" * (TEXT_LENGTH + 1), "rejected": "a" * TEXT_LENGTH}
    path.write_text("".join(json.dumps({"prompt": f"Say {number}."} | texts) + "\n" for number in range(count)))
    return path


def measure_peaks(pairs: Path, model: Path, folder: Path, runtime: Runtime) -> tuple[Artifact, Artifact, list[int]]:
    """The split, the labels, and the largest memory of Python objects during each of the two stages, in bytes."""
    plan = build_plan(Study.parse(STUDY.format(pairs=pairs, model=model)))
    (labels,) = (row.labels for row in plan.rows if row.name == "longest")
    assert labels is not None
    made: dict[str, Artifact] = {}
    peaks = []
    for stage in (plan.split, labels):
        tracemalloc.start()
        make = stage.execute
        artifact = Store(folder).get_or_create(stage.name, stage.recipe, lambda draft: make(draft, made, runtime))  # noqa: B023
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        made["split" if stage is plan.split else "labels"] = artifact
    return made["split"], made["labels"], peaks


def test_the_texts_of_a_split_are_not_held_in_memory(
    tiny_model: Path, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_groups, "ROWS_PER_GROUP", 32)
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", 16)
    monkeypatch.setattr(annotate, "PAIRS_PER_BATCH", 16)
    monkeypatch.setattr(disk_sequence, "MAX_MEMORY", 1)
    monkeypatch.setattr(disk_sequence, "READ_AHEAD", 4096)
    files = {count: write_pairs(tmp_path / f"{count}.jsonl", count) for count in (FEW, MANY)}
    measure_peaks(files[FEW], tiny_model, tmp_path / "first", runtime)  # imports
    _, _, few_peaks = measure_peaks(files[FEW], tiny_model, tmp_path / "few", runtime)
    split, labels, many_peaks = measure_peaks(files[MANY], tiny_model, tmp_path / "many", runtime)
    growth = [(many - few) / (MANY - FEW) for few, many in zip(few_peaks, many_peaks, strict=True)]
    assert max(growth) < MAX_BYTES_PER_PAIR, growth
    unlabeled = load_split_pairs(split, "unlabeled")
    assert sum(len(load_split_pairs(split, name)) for name in ("labeled", "test")) + len(unlabeled) == MANY
    by_id = load_annotations(labels)
    assert [pair.id for pair in unlabeled] == list(by_id)
    assert all(pair.response(by_id[pair.id].choice or "a")[0] == "b" for pair in unlabeled)
