"""A student trained as a preference model on one arm's labels labels new pairs, in its study and after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from trimtab.core.runtime import Runtime
from trimtab.pipeline.run_index import load_run_index
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.workflows.annotate_file import annotate_file

ARMS = """
judges: {first: {kind: pairwise, engine: {kind: scripted}}}
judging: {baseline: sft, human_agreement_pairs: 0}
arms:
  first_round: {annotator: length, filter: {kind: subset, fraction: 0.5}, labels_only: true}
  aligned: {annotator: {kind: prompted, weak: "@first_round.preference_model"}, filter: {kind: complement, arm: first_round}}
"""


@pytest.fixture(scope="module")
def aligned_run(tiny_study: str, run_whole: Callable[..., Any]) -> Path:
    folder: Path = run_whole(tiny_study + ARMS)[1]
    return folder


def labeled(folder: Path, arm: str) -> set[str]:
    rows = pq.read_table(folder / "labels" / f"{arm}.parquet").to_pylist()
    return {row["id"] for row in rows if row["status"] == "ok"}


def test_a_preference_model_of_one_arm_labels_another_arm_that_is_aligned_and_judged(aligned_run: Path) -> None:
    index = load_run_index(aligned_run)
    first_round, aligned = index.find_row("first_round"), index.find_row("aligned")
    assert first_round is not None and aligned is not None
    old, new = labeled(aligned_run, "first_round"), labeled(aligned_run, "aligned")
    assert old
    assert new
    assert old & new == set()
    assert first_round.training is None
    assert (aligned.training or "").startswith("dpo.aligned-")
    assert list(aligned.verdicts) == ["first"]
    (student,) = index.preference_models["preference-model.first_round"]
    assert student.startswith("preference-model.first_round-")


@pytest.mark.parametrize("by", ["name", "folder"])
def test_after_the_run_the_preference_model_returns_the_same_labels(
    aligned_run: Path, runtime: Runtime, tmp_path: Path, by: str
) -> None:
    stages = aligned_run / "stages"
    (folder,) = stages.glob("preference-model.first_round-*")
    (labels,) = stages.glob("annotate.aligned-*")
    expected = load_annotations(open_artifact(labels))
    split = open_artifact(stages / load_run_index(aligned_run).split)
    rows = [
        {"prompt": pair.prompt[0].content, "response_a": pair.a, "response_b": pair.b}
        for pair in load_split_pairs(split, "unlabeled")
    ]
    pairs, output = tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model, run_dir = ("@first_round.preference_model", aligned_run) if by == "name" else (str(folder), None)
    annotate_file(pairs, "prompted", [f"weak={model}"], run_dir, output, runtime, label_format="ids")
    labels_by_id = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert set(labels_by_id) == set(expected)
    for pair_id, label in expected.items():
        assert labels_by_id[pair_id]["p_a"] == pytest.approx(label.p_a, abs=1e-3)
        assert labels_by_id[pair_id]["weights"] == folder.name.rpartition("-")[2]
        assert labels_by_id[pair_id]["calls"] == 2
