"""The labels of a run lead back to the rows of the user's files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from trimtab.core.runtime import Runtime
from trimtab.data.split import SplitSettings
from trimtab.pipeline.label_files import describe_label
from trimtab.pipeline.run_index import load_run_index
from trimtab.pipeline.stages.split import split_stage
from trimtab.report.run_reader import Run
from trimtab.sources.file import File
from trimtab.storage.artifacts import Store, open_artifact
from trimtab.storage.schemas import load_annotations, load_origins, load_split_pairs
from trimtab.types import Annotation, Message, Pair, RowOrigin, build_user_prompt

PAIR = Pair.from_responses(build_user_prompt("Say one."), "one", "no")


def test_a_label_is_in_the_order_of_the_row() -> None:
    for first in (PAIR.a, PAIR.b):
        origin = RowOrigin(pair_id=PAIR.id, file="mine.csv", row=7, first=PAIR.get_choice(first))
        row = describe_label(PAIR, Annotation(pair_id=PAIR.id, p_a=0.2), origin)
        assert (row["file"], row["row"], row["prompt"], row["response_1"]) == ("mine.csv", 7, "Say one.", first)
        assert (row[row["preferred"]], row["probability"]) == (PAIR.b, 0.8)


def test_a_pair_without_a_file_or_a_label_has_empty_columns() -> None:
    row = describe_label(PAIR, Annotation(pair_id=PAIR.id, p_a=None, status="abstained"), None)
    assert (row["file"], row["row"], row["preferred"], row["probability"]) == (None, None, None, None)
    assert (row["response_1"], row["response_2"]) == (PAIR.a, PAIR.b)
    talk = (Message(role="user", content="Hi"), Message(role="assistant", content="Ho"), *PAIR.prompt)
    long = Pair.from_responses(talk, "one", "no")
    label = Annotation(pair_id=long.id, p_a=1.0)
    assert describe_label(long, label, None)["prompt"] == "User: Hi\n\nAssistant: Ho\n\nUser: Say one."


def test_the_label_file_of_an_arm_has_the_texts_and_the_label_of_each_pair(finished_run: Path) -> None:
    index = load_run_index(finished_run)
    row = index.find_row("weak")
    assert row is not None and row.labels is not None
    labels = load_annotations(open_artifact(finished_run / "stages" / row.labels))
    pairs = {
        each.id: each for each in load_split_pairs(open_artifact(finished_run / "stages" / index.split), "unlabeled")
    }
    rows = pq.read_table(finished_run / "labels" / "weak.parquet").to_pylist()
    assert {each["id"] for each in rows} == set(pairs)
    for each in rows:
        pair, label = pairs[each["id"]], labels[each["id"]]
        assert {each["response_1"], each["response_2"]} == {pair.a, pair.b}
        assert each[each["preferred"]] == pair.response(label.choice or "a")
        assert each["probability"] >= 0.5


def test_the_time_of_labels_includes_the_tables_that_they_are_read_from(finished_run: Path) -> None:
    run = Run(finished_run)
    row = run.index.find_row("weak")
    assert row is not None and row.labels is not None
    record = run.artifact(row.labels).record
    tables = [run.index.stage_with_fingerprint(each) for name, each in record["inputs"].items() if name != "split"]
    assert {run.artifact(table).record["stage"] for table in tables} == {"logprobs"}
    seconds = sum(run.artifact(table).record["seconds"] for table in tables)
    assert seconds > 0
    assert run.labeling_seconds(row.labels) == pytest.approx(record["seconds"] + seconds)


def test_a_split_counts_failed_rows_by_source_and_file_and_keeps_the_origin_of_its_pairs(
    runtime: Runtime, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "no"} for n in range(40)]
    (folder / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "two.jsonl").write_text(json.dumps({**rows[0], "prompt": ""}) + "\n" + json.dumps(rows[1]) + "\n")
    stage = split_stage({"all": File(path=str(folder))}, SplitSettings(labeled=0.5, test=0.3), 100, {})
    artifact = Store(tmp_path / "run").get_or_create("split", stage.recipe, lambda draft: stage.run(draft, {}, runtime))
    facts = artifact.record["facts"]
    assert (facts["failures"], facts["failures_by_source"]) == (1, {"all": 1})
    assert facts["failures_by_file"] == {str(folder / "two.jsonl"): "1 of 2 rows"}
    assert facts["reasons"]["duplicate pair"] == 1
    origins = load_origins(artifact)
    pairs = [pair for name in ("labeled", "unlabeled", "test") for pair in load_split_pairs(artifact, name)]
    for pair in pairs:
        assert pair.response(origins[pair.id].first) == rows[origins[pair.id].row - 1]["chosen"]
