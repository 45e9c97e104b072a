"""A student that learned to choose from an arm's labels labels pairs that are new to it, in its study and after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from trimtab.core.runtime import Runtime
from trimtab.pipeline.executor import load_run_index
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.workflows.annotate_file import annotate_file

ARMS = """
judges: {first: {kind: pairwise, engine: {kind: scripted}}}
judging: {against: sft, pairs: 0}
arms:
  teacher: {annotator: longest, filter: {kind: subset, fraction: 0.5}, train: false}
  aligned: {annotator: {kind: prompted, weak: "@teacher.preference_model"}, filter: {kind: rest, of: teacher}}
"""


@pytest.fixture(scope="module")
def aligned_run(tiny_study: str, run_whole: Callable[..., Any]) -> Path:
    folder: Path = run_whole(tiny_study + ARMS)[1]
    return folder


def labeled(folder: Path, arm: str) -> set[str]:
    rows = pq.read_table(folder / "labels" / f"{arm}.parquet").to_pylist()
    return {row["id"] for row in rows if row["status"] == "ok"}


def test_the_student_of_one_arm_labels_what_another_is_aligned_on_and_judged(aligned_run: Path) -> None:
    arms = {arm["name"]: arm for arm in load_run_index(aligned_run)["arms"]}
    taught, new = labeled(aligned_run, "teacher"), labeled(aligned_run, "aligned")
    assert taught
    assert new
    assert taught & new == set()
    assert arms["teacher"]["training"] is None
    assert arms["aligned"]["training"].startswith("dpo.aligned-")
    assert list(arms["aligned"]["verdicts"]) == ["first"]
    (student,) = load_run_index(aligned_run)["choosers"]["preference.teacher"]
    assert student.startswith("preference.teacher-")


@pytest.mark.parametrize("by", ["name", "folder"])
def test_after_the_run_the_student_gives_the_labels_that_it_gave_in_it(
    aligned_run: Path, runtime: Runtime, tmp_path: Path, by: str
) -> None:
    stages = aligned_run / "stages"
    (folder,) = stages.glob("preference.teacher-*")
    (labels,) = stages.glob("annotate.aligned-*")
    expected = load_annotations(open_artifact(labels))
    split = open_artifact(stages / load_run_index(aligned_run)["split"])
    rows = [
        {"prompt": pair.prompt[0].content, "response_a": pair.a, "response_b": pair.b}
        for pair in load_split_pairs(split, "unlabeled")
    ]
    pairs, to = tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model, run_dir = ("@teacher.preference_model", aligned_run) if by == "name" else (str(folder), None)
    annotate_file(pairs, "prompted", [f"weak={model}"], run_dir, to, runtime)
    found = {row["id"]: row for row in map(json.loads, to.read_text().splitlines())}
    assert set(found) == set(expected)
    for key, label in expected.items():
        assert found[key]["p_a"] == pytest.approx(label.p_a, abs=1e-3)
        assert found[key]["weights"] == folder.name.rpartition("-")[2]
        assert found[key]["calls"] == 2
