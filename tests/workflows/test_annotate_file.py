"""The pairs in a file are labeled without a study, by any annotator that needs no other arms."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab.core.runtime import Runtime
from trimtab.data.parsing.label_files import read_labels
from trimtab.errors import DataError, ModelError, StoreError, StudyError
from trimtab.metrics.label_certificate import ASSUMPTION
from trimtab.pipeline.run_index import load_run_index
from trimtab.sources.file import File
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Pair, build_user_prompt
from trimtab.workflows.annotate_file import annotate_file
from trimtab.workflows.annotate_pairs import TrainingPairs

# The longer response is preferred in three of four pairs; the fifth pair has no label and equal lengths.
ROWS: list[dict[str, Any]] = [
    {"prompt": "Say one.", "response_a": "one, gladly", "response_b": "no", "label": "a"},
    {"prompt": "Say two.", "response_a": "two, gladly", "response_b": "no", "label": "a"},
    {"prompt": "Say three.", "response_a": "3", "response_b": "three, gladly", "label": "b"},
    {"prompt": "Say four.", "response_a": "four", "response_b": "four, or was it five?", "label": "a"},
    {"prompt": "Say five.", "response_a": "five", "response_b": "cinq", "label": None},
]
IDENTICAL = {"prompt": "Say six.", "response_a": "six", "response_b": "six", "label": None}
# Wilson interval of 3 in 4, by hand: z² = 3.8415; center (0.75 + 0.4802) / 1.9604; half 1.96 √(0.0469 + 0.0600) / 1.9604.
THREE_OF_FOUR = "0.75 [0.30, 0.95] of 4 pairs"
SUFFIXES = (".parquet", ".jsonl", ".csv")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, IDENTICAL]))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def own_csv(path: Path) -> Path:
    """Rows with columns of their own: one is a duplicate with another topic, one cannot be read."""
    rows = [
        ["id", "question", "answer_1", "answer_2", "better", "topic"],
        ["x1", "Say one.", "no", "one, gladly", "2", "one"],
        ["x2", "Say two.", "two, gladly", "no", "1", "two"],
        ["x3", "Say one.", "no", "one, gladly", "2", "again"],
        ["x4", "Say six.", "six", "six", "1", "equal"],
        ["x5", "Say five.", "five", "cinq", "1", "tie"],
    ]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


OWN_COLUMNS: dict[str, Any] = {
    "columns": {"prompt": "question", "response_a": "answer_1", "response_b": "answer_2", "label": "better"},
    "label_values": {"1": "a", "2": "b"},
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_input_row_is_written_with_its_own_columns_and_its_label(
    runtime: Runtime, tmp_path: Path, suffix: str
) -> None:
    pairs, output = own_csv(tmp_path / "mine.csv"), tmp_path / f"labels{suffix}"
    summary = annotate_file(pairs, "length", (), None, output, runtime, data_settings=OWN_COLUMNS)
    rows = read(output)
    with pairs.open(newline="") as stream:
        expected = list(csv.DictReader(stream))
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    assert [int(row["trimtab_row"]) for row in rows] == [1, 2, 3, 4, 5]
    assert {row["trimtab_file"] for row in rows} == {str(pairs)}
    assert [row["trimtab_preferred"] or None for row in rows] == ["answer_2", "answer_1", "answer_2", None, None]
    assert [str(row["trimtab_probability"] or "") for row in rows] == ["1.0", "1.0", "1.0", "", ""]
    assert [row["trimtab_status"] for row in rows] == ["ok", "ok", "ok", "unusable", "abstained"]
    assert rows[3]["trimtab_note"] == "'answer_1' and 'answer_2' are identical"
    assert summary.splitlines()[:3] == [
        "3 pairs: 2 labeled, 1 abstained, 0 failed",
        "1 row of mine.csv is not usable: 'answer_1' and 'answer_2' are identical (mine.csv:5)",
        "1 row of mine.csv is equal to an earlier row",
    ]
    assert read_labels(str(output)).keys() == {pair.id for pair in File(path=str(pairs), **OWN_COLUMNS).load().pairs}


def test_the_labels_of_transcripts_messages_and_ratings_return_to_their_rows(runtime: Runtime, tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Say one."}]
    messages = {
        "chosen": [*talk, {"role": "assistant", "content": "one, gladly"}],
        "rejected": [*talk, {"role": "assistant", "content": "no"}],
        "source": {"name": "x", "pages": [1]},
    }
    candidates = {
        "instruction": "Say two.",
        "completions": [
            {"response": "no", "overall_score": 1},
            {"response": "two, gladly", "overall_score": 5},
        ],
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(messages) + "\n" + json.dumps(candidates) + "\n")
    annotate_file(path, "length", (), None, tmp_path / "labels.jsonl", runtime)
    first, second = read(tmp_path / "labels.jsonl")
    assert {name: first[name] for name in messages} == messages
    assert first["trimtab_preferred"] == "chosen"
    assert second["trimtab_response_1"] == "two, gladly" and second["trimtab_preferred"] == "response_1"
    annotate_file(path, "length", (), None, tmp_path / "labels.parquet", runtime)
    assert [row["trimtab_preferred"] for row in read(tmp_path / "labels.parquet")] == ["chosen", "response_1"]
    rated = tmp_path / "rated.csv"
    rated.write_text('prompt,response,score\nSay one.,no,1\nSay one.,maybe one,2\nSay one.,"one, gladly",3\n')
    annotate_file(rated, "length", (), None, tmp_path / "r.csv", runtime, data_settings={"rating_column": "score"})
    (row,) = read(tmp_path / "r.csv")
    assert (row["chosen"], row["rejected"], row["trimtab_preferred"]) == ("one, gladly", "no", "chosen")
    assert row["trimtab_row"] == "3"


def test_training_files_have_the_messages_of_each_labeled_pair(runtime: Runtime, tmp_path: Path) -> None:
    pairs = own_csv(tmp_path / "mine.csv")
    for suffix in (".jsonl", ".parquet"):
        output = tmp_path / f"trl{suffix}"
        annotate_file(pairs, "length", (), None, output, runtime, data_settings=OWN_COLUMNS, label_format="trl")
        rows = read(output)
        assert [(row["prompt"][0]["content"], row["chosen"][0]["content"]) for row in rows] == [
            ("Say one.", "one, gladly"),
            ("Say two.", "two, gladly"),
        ]
    with pytest.raises(StudyError, match=r"must be one of \.jsonl, \.parquet for --format trl, got \.csv"):
        annotate_file(pairs, "length", (), None, tmp_path / "t.csv", runtime, label_format="trl")
    with pytest.raises(StudyError, match="--format: must be one of rows, trl, ids, got 'dpo'"):
        annotate_file(pairs, "length", (), None, tmp_path / "t.csv", runtime, label_format="dpo")


def test_a_file_of_labels_is_not_labeled_again(runtime: Runtime, tmp_path: Path) -> None:
    pairs, output = own_csv(tmp_path / "mine.csv"), tmp_path / "labels.csv"
    annotate_file(pairs, "length", (), None, output, runtime, data_settings=OWN_COLUMNS)
    with pytest.raises(StudyError, match="has the column trimtab_file, so trimtab annotate wrote it"):
        annotate_file(output, "length", (), None, tmp_path / "more.csv", runtime, data_settings=OWN_COLUMNS)


def test_unusable_rows_are_counted_by_file(runtime: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "two.jsonl").write_text((json.dumps(IDENTICAL) + "\n") * 2 + json.dumps(ROWS[0]) + "\n")
    summary = annotate_file(folder, "length", (), None, tmp_path / "labels.csv", runtime)
    assert summary.splitlines()[1:4] == [
        "2 rows of parts are not usable: 'response_a' and 'response_b' are identical (2, first: two.jsonl:1)",
        "1 row of parts is equal to an earlier row",
        "  two.jsonl: 2 of 3 rows are not usable",
    ]


def test_labels_by_id_have_the_columns_of_a_study_plus_note_calls_and_detail(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    annotate_file(pairs, "length", (), None, tmp_path / "labels.parquet", runtime, label_format="ids")
    labels = {row["id"]: row for row in read(tmp_path / "labels.parquet")}
    pair = Pair.from_responses(build_user_prompt("Say one."), "one, gladly", "no")
    row = labels[pair.id]
    assert " ".join(row) == "id p_a margin status note prompt_hash annotator weights seconds tokens calls detail"
    assert (row["p_a"], row["margin"]) == ((1.0, 9.0) if pair.a == "one, gladly" else (0.0, -9.0))
    assert (row["status"], row["annotator"], row["weights"], row["tokens"]) == ("ok", "length", "", 0)
    assert (row["calls"], row["detail"]) == (0, "")
    assert row["prompt_hash"] == pair.prompt_id
    five = labels[Pair.from_responses(build_user_prompt("Say five."), "five", "cinq").id]
    assert (five["p_a"], five["status"], five["note"]) == (None, "abstained", "tie: the lengths differ by 0 characters")


def test_cached_log_probabilities_are_not_computed_again(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = (f"policy={tiny_model}", f"reference={shutil.copytree(tiny_model, tmp_path / 'model')}")
    weights = tmp_path / "model" / "model.safetensors"
    changed = load_file(weights)
    changed["lm_head.weight"] += 0.5 * torch.randn_like(changed["lm_head.weight"])
    save_file(changed, weights, metadata={"format": "pt"})
    labels = []
    for cache in ("off", str(tmp_path / "cache"), str(tmp_path / "cache")):
        monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", cache)
        annotate_file(pairs, "implicit_reward", models, None, tmp_path / "labels.csv", runtime)
        labels.append([{**row, "trimtab_seconds": None} for row in read(tmp_path / "labels.csv")])
        if labels[1:2]:
            # a cache hit loads no model, so loading may fail
            monkeypatch.setattr("trimtab.models.checkpoint.load_model", None)
    assert labels[0] == labels[1] == labels[2]
    assert len(list((tmp_path / "cache").glob("*.jsonl"))) == 2


def test_a_pair_that_exceeds_the_context_length_fails_with_a_note(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    rows = [*ROWS, {"prompt": "Say much.", "response_a": "much " * 1700, "response_b": "no", "label": "a"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = (f"policy={tiny_model}", f"reference={tiny_model}")
    annotate_file(path, "implicit_reward", models, None, tmp_path / "labels.jsonl", runtime, label_format="ids")
    labels = {row["id"]: row for row in read(tmp_path / "labels.jsonl")}
    long = labels.pop(Pair.from_responses(build_user_prompt("Say much."), "much " * 1700, "no").id)
    assert long["status"] == "failed"
    assert long["note"].endswith("tokens, more than the model's maximum of 8192")
    assert {row["status"] for row in labels.values()} == {"abstained"}  # policy and reference are the same model


def test_numbers_that_json_does_not_have_are_null(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS[0] | {"cost": float("nan"), "more": {"limits": [float("inf"), 1.5]}}) + "\n")
    annotate_file(path, "length", (), None, tmp_path / "labels.jsonl", runtime)
    line = (tmp_path / "labels.jsonl").read_text()
    row = json.loads(line, parse_constant=pytest.fail)
    assert (row["cost"], row["more"]) == (None, {"limits": [None, 1.5]})


def test_every_file_format_has_the_same_rows(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        annotate_file(pairs, "length", (), None, tmp_path / "deep" / f"labels{suffix}", runtime)
    files = [read(tmp_path / "deep" / f"labels{suffix}") for suffix in SUFFIXES]
    names = ("prompt", "trimtab_id", "trimtab_status", "trimtab_note", "trimtab_margin")
    values = [[tuple(str(row.get(name) or "") for name in names) for row in rows] for rows in files]
    assert len(values[0]) == len(ROWS) + 1
    assert values[0] == values[1] == values[2]


def test_the_summary_counts_rows_and_reports_agreement_with_human_labels_and_the_length_baseline(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    assert annotate_file(pairs, "human", (), None, tmp_path / "labels.csv", runtime).splitlines() == [
        "5 pairs: 4 labeled, 1 abstained, 0 failed",
        "1 row of pairs.jsonl is not usable: 'response_a' and 'response_b' are identical (pairs.jsonl:6)",
        "agreement with human labels: 1.00 [0.51, 1.00] of 4 pairs",
        f"length baseline (longer response), same pairs: {THREE_OF_FOUR}",
    ]


def test_labels_of_a_pool_without_human_labels_are_summarized_with_the_next_command(
    runtime: Runtime, tmp_path: Path
) -> None:
    path = tmp_path / "bare.jsonl"
    path.write_text("".join(json.dumps({**row, "label": None}) + "\n" for row in ROWS))
    summary = annotate_file(path, "length", ["tie_threshold=1"], None, tmp_path / "labels.csv", runtime)
    assert summary.splitlines()[1].startswith("read as: two responses, text, ")
    assert summary.splitlines()[2:4] == [
        "preferred: the first response in 2 of 4 pairs, the longer one in 4 of 4",
        "confidence: median 1.00; 4 labels have a probability of 0.9 or more",
    ]
    assert "trimtab audit LABELED --annotator length" in summary.splitlines()[4]
    assert "--format trl" in summary.splitlines()[4]
    output = tmp_path / "labels.jsonl"
    filtered = annotate_file(
        path, "length", (), None, output, runtime, filter_by="{kind: margin, by: margin}", label_format="trl"
    ).splitlines()
    assert filtered[-2].endswith(" labels kept by margin")
    assert filtered[-1].startswith("next: to estimate") and "--format trl" not in filtered[-1]


def test_an_annotator_that_labels_nothing_gives_the_most_frequent_reason(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    output = tmp_path / "labels.jsonl"
    summary = annotate_file(
        pairs, "length", ["tie_threshold=99"], None, output, runtime, filter_by="{kind: margin, by: margin}"
    )
    assert summary.splitlines()[-1].startswith("no pair has a label, most often because: tie: the lengths differ by ")
    assert summary.endswith("characters (5 of 5 pairs)")
    assert {row["trimtab_status"] for row in read(output)} == {"abstained", "unusable"}


def test_settings_are_parsed_to_their_types(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    summary = annotate_file(pairs, "length", ["tie_threshold=9"], None, tmp_path / "labels.csv", runtime)
    assert summary.startswith("5 pairs: 2 labeled, 3 abstained")


def test_the_weak_model_of_a_run_gives_the_same_labels_as_in_the_run(
    finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    index = load_run_index(finished_run)
    split = open_artifact(finished_run / "stages" / index.split)
    (weak,) = (row for row in index.rows if row.name == "weak")
    expected = load_annotations(open_artifact(finished_run / "stages" / (weak.labels or "")))
    rows = [
        {"prompt": pair.prompt[0].content, "response_a": pair.a, "response_b": pair.b}
        for pair in load_split_pairs(split, "unlabeled")
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotate_file(path, "implicit_reward", (), finished_run, tmp_path / "labels.jsonl", runtime, label_format="ids")
    labels = {str(row["id"]): row for row in read(tmp_path / "labels.jsonl")}
    assert set(labels) == set(expected)
    for key, label in expected.items():
        assert labels[key]["margin"] == pytest.approx(label.margin, abs=1e-3)
        assert labels[key]["tokens"] == label.cost.prompt_tokens
    (weights,) = {str(row["weights"]) for row in labels.values()}
    (model,) = (row for row in index.rows if row.name == "weak_model")
    assert weights.split()[0] == (model.training or "").rpartition("-")[2]


def test_models_by_folder_need_no_run(
    pairs: Path, tiny_model: Path, finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    (trained,) = (finished_run / "stages").glob("sft.student-*")
    settings = [f"policy={trained}", f"reference={tiny_model}", "beta=1.0"]
    annotate_file(pairs, "implicit_reward", settings, None, tmp_path / "labels.jsonl", runtime, label_format="ids")
    for row in read(tmp_path / "labels.jsonl"):
        assert row["p_a"] == pytest.approx(1 / (1 + math.exp(-row["margin"])))


def test_a_policy_equal_to_its_reference_abstains(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    settings = [f"policy={tiny_model}", f"reference={tiny_model}"]
    summary = annotate_file(pairs, "implicit_reward", settings, None, tmp_path / "labels.csv", runtime)
    assert summary.startswith("5 pairs: 0 labeled, 5 abstained, 0 failed")


@pytest.mark.parametrize(
    ("kind", "settings", "output", "message"),
    [
        (
            "length",
            [],
            "labels.txt",
            r"the suffix must be one of \.parquet, \.jsonl, \.csv for --format rows, got \.txt",
        ),
        ("length", [], "labels", "got none"),
        ("length", [], "pairs.jsonl", "this is a file of pairs"),
        ("length", ["tie_threshold"], "labels.csv", "'tie_threshold': write an override as key=value or key.sub=value"),
        ("length", ["tie_threshold=[1"], "labels.csv", r"'tie_threshold=\[1': .*YAML"),
        ("length", ["tie_threshold=wide"], "labels.csv", "tie_threshold: expected a whole number, got 'wide'"),
        ("length", ["tie_treshold=1"], "labels.csv", "tie_treshold: unknown setting; did you mean 'tie_threshold'"),
        ("length", ["kind=human"], "labels.csv", "set the kind of annotator with --annotator"),
        ("lenght", [], "labels.csv", "unknown kind 'lenght' in annotators; did you mean 'length'"),
        ("noisy_human", ["arm=weak"], "labels.csv", r"annotator noisy_human: reads the labels of other arms \(weak\)"),
        ("implicit_reward", [], "labels.csv", "@weak is a model of a run.* --models-from"),
        ("seam", ["weak=smollm2-135m-instruct"], "labels.csv", "@student is a model of a run.* --models-from"),
    ],
)
def test_invalid_arguments_are_reported_before_any_work(
    pairs: Path, runtime: Runtime, tmp_path: Path, kind: str, settings: list[str], output: str, message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StudyError, match=message):
        annotate_file(pairs, kind, settings, None, tmp_path / output, runtime)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_a_run_and_an_unknown_model_are_errors(
    pairs: Path, finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    output = tmp_path / "labels.csv"
    with pytest.raises(StoreError, match="holds no finished run"):
        annotate_file(pairs, "implicit_reward", (), tmp_path, output, runtime)
    with pytest.raises(StudyError, match=r"no model '@strong' in a run \(available: @weak, @weak.sft, "):
        annotate_file(pairs, "implicit_reward", ["policy=@strong"], finished_run, output, runtime)
    with pytest.raises(ModelError, match="no model 'smollm'"):
        annotate_file(pairs, "implicit_reward", ["policy=smollm"], finished_run, output, runtime)


def test_the_detail_of_a_label_is_written(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    settings = ["weak={kind: scripted, choice_weights: {gladly: [3, 1]}}"]
    for suffix in SUFFIXES:
        annotate_file(pairs, "prompted", settings, None, tmp_path / f"labels{suffix}", runtime, label_format="ids")
    key = Pair.from_responses(build_user_prompt("Say one."), "one, gladly", "no").id
    rows = [next(row for row in read(tmp_path / f"labels{suffix}") if row["id"] == key) for suffix in SUFFIXES]
    # 0.75 for the first response in either order
    expected = {"p_a_by_order": {"a_first": 0.75, "b_first": 0.25}, "order_inconsistent": True}
    for row in rows:
        detail = json.loads(row["detail"]) if isinstance(row["detail"], str) else row["detail"]
        assert {name: detail[name] for name in expected} == expected
        assert int(row["calls"]) == 2
    assert isinstance(rows[1]["detail"], dict)


def test_a_filter_selects_labels(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    output = tmp_path / "labels.jsonl"
    keep_half = "{kind: margin, by: margin, from_quantile: 0.5}"
    summary = annotate_file(pairs, "length", (), None, output, runtime, filter_by=keep_half, label_format="ids")
    rows = read(output)
    assert summary.splitlines()[0] == "5 pairs: 4 labeled, 1 abstained, 0 failed"
    assert summary.splitlines()[-1] == "2 labels kept by margin"
    assert [row["status"] for row in rows].count("ok") == 2
    assert [(row["p_a"], row["note"]) for row in rows if row["note"].startswith("dropped")] == [
        (None, "dropped by margin")
    ] * 2


@pytest.mark.parametrize(
    ("label_filter", "message"),
    [
        ("certainty", "--filter certainty: kind: unknown kind 'certainty' in filters; did you mean 'uncertainty'"),
        ("{kind: uncertainty, fraction: 2}", r"--filter \{kind: uncertainty, fraction: 2\}: fraction"),
        ("{kind: complement, arm: seam}", r"reads the labels of other arms \(seam\), which exist only in a study"),
        (
            "optimal_fraction",
            "--filter optimal_fraction: filter optimal_fraction: needs labeled pairs; give a file of them with --train-on",
        ),
        ("information", "--filter: information needs scores of search trees, which labels by length do not have"),
        ("[uncertainty", "--filter .*while parsing"),
    ],
)
def test_an_invalid_filter_is_an_error_before_any_work(
    pairs: Path, runtime: Runtime, tmp_path: Path, label_filter: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        annotate_file(pairs, "length", (), None, tmp_path / "labels.csv", runtime, filter_by=label_filter)
    assert not (tmp_path / "labels.csv").exists()


def test_nothing_is_written_if_the_filter_refuses_the_labels(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    output = tmp_path / "labels.jsonl"
    with pytest.raises(DataError, match="no labels kept"):  # all labels prefer the longer response
        annotate_file(pairs, "length", (), None, output, runtime, filter_by="length_balance")
    assert not output.exists()


def test_a_missing_file_is_named_in_the_error(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl: no such file"):
        annotate_file(tmp_path / "nowhere.jsonl", "length", (), None, tmp_path / "labels.csv", runtime)


def test_a_length_baseline_needs_no_torch(pairs: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trimtab.core.runtime import Runtime; "
        "from trimtab.workflows.annotate_file import annotate_file; "
        "runtime = Runtime(progress=None, notify=lambda message: None); "
        "annotate_file(Path(sys.argv[1]), 'length', (), None, Path(sys.argv[2]), runtime); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(pairs), str(tmp_path / "labels.csv")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_annotator_that_learns_needs_training_pairs(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    train = tmp_path / "train.jsonl"
    rows = [
        {"prompt": f"Say it {index} times.", "response_a": "gladly" * (index % 3 + 1), "response_b": "no", "label": "a"}
        for index in range(24)
    ]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output, settings = tmp_path / "labels.jsonl", (f"model={tiny_model}",)
    with pytest.raises(
        StudyError, match="annotator probe: learns from labeled pairs; give a file of them with --train-on FILE"
    ):
        annotate_file(pairs, "probe", settings, None, output, runtime)
    with pytest.raises(
        StudyError, match="--train-on: annotator length does not learn from labeled pairs; omit the option"
    ):
        annotate_file(pairs, "length", (), None, output, runtime, TrainingPairs(File(path=str(train))))
    with pytest.raises(DataError, match="probe: 19 labeled pairs to train on, expected at least 20"):
        annotate_file(pairs, "probe", settings, None, output, runtime, TrainingPairs(File(path=str(train), limit=19)))
    training = TrainingPairs(File(path=str(train)))
    summary = annotate_file(pairs, "probe", settings, None, output, runtime, training, label_format="ids")
    assert "4 pairs: 4 labeled" in summary or "5 pairs: 5 labeled" in summary
    labels = read(output)
    assert [row["annotator"] for row in labels] == ["probe"] * len(labels)
    assert all(0 < row["p_a"] < 1 and row["tokens"] > 0 for row in labels)
    assert not list(tmp_path.glob("*.completions"))


def test_certified_labels_come_with_their_guarantee(tiny_model: Path, runtime: Runtime, tmp_path: Path) -> None:
    train, path, output = tmp_path / "train.jsonl", tmp_path / "pool.jsonl", tmp_path / "labels.jsonl"
    for file, first, count in ((train, 0, 60), (path, 100, 24)):
        rows = [{"prompt": f"Ask {n}.", "chosen": f"gladly {n}", "rejected": "no"} for n in range(first, first + count)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = annotate_file(
        path,
        "probe",
        (f"model={tiny_model}",),
        None,
        output,
        runtime,
        TrainingPairs(File(path=str(train))),
        "{kind: certified, accuracy: 0.7, folds: 2}",
        label_format="ids",
    )
    kept, guarantee, assumption, check = summary.splitlines()[-4:]
    assert int(kept.removesuffix(" labels kept by certified")) == sum(row["status"] == "ok" for row in read(output))
    assert guarantee.startswith("With 95% confidence, at least 70% of labels like the kept ones are correct: ")
    assert "60 labeled pairs, one per prompt, were used" in guarantee
    assert assumption == ASSUMPTION
    assert "Labeled and unlabeled pairs" in check or "No difference was found" in check


def test_max_length_limits_the_pairs_of_an_annotator_that_learns(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    train, path, output = tmp_path / "train.jsonl", tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
    labeled = [{"prompt": f"Ask {n}.", "chosen": "gladly", "rejected": f"no, {n}"} for n in range(24)]
    train.write_text("".join(json.dumps(row) + "\n" for row in labeled))
    # a digit is a token of the weak model's tokenizer, and a byte of the tiny model's
    long = {"prompt": "Count.", "response_a": "1" * 600, "response_b": "no", "label": "a"}
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, long]))
    key = Pair.from_responses(build_user_prompt("Count."), "1" * 600, "no").id
    results = []
    for max_length in (None, 900):
        training_pairs = TrainingPairs(File(path=str(train)), max_length)
        annotate_file(
            path, "probe", (f"model={tiny_model}",), None, output, runtime, training_pairs, label_format="ids"
        )
        (row,) = [row for row in read(output) if row["id"] == key]
        results.append((row["status"], row["note"]))
    assert results == [("abstained", "longer than 512 tokens; raise the limit with --max-length"), ("ok", "")]
