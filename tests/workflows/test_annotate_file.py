"""A file of pairs is labeled without a study, by anything that labels pairs alone."""

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
from trimtab.errors import DataError, ModelError, StoreError, StudyError
from trimtab.pipeline.executor import load_run_index
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Pair, build_user_prompt
from trimtab.workflows.annotate_file import LABEL_COLUMNS, TrainingPairs, annotate_file

# The longer response is preferred in three of four pairs; the fifth pair has no label and equal lengths.
ROWS: list[dict[str, Any]] = [
    {"prompt": "Say one.", "response_a": "one, gladly", "response_b": "no", "label": "a"},
    {"prompt": "Say two.", "response_a": "two, gladly", "response_b": "no", "label": "a"},
    {"prompt": "Say three.", "response_a": "3", "response_b": "three, gladly", "label": "b"},
    {"prompt": "Say four.", "response_a": "four", "response_b": "four, or was it five?", "label": "a"},
    {"prompt": "Say five.", "response_a": "five", "response_b": "cinq", "label": None},
]
TWIN = {"prompt": "Say six.", "response_a": "six", "response_b": "six", "label": None}
# Wilson's interval of 3 in 4, by hand: z² = 3.8415; center (0.75 + 0.4802) / 1.9604; half 1.96 √(0.0469 + 0.0600) / 1.9604.
THREE_OF_FOUR = "0.75 [0.30, 0.95] of 4 pairs"
SUFFIXES = (".parquet", ".jsonl", ".csv")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, TWIN]))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_columns_are_those_of_a_study_and_a_note(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    annotate_file(pairs, "longest", (), None, tmp_path / "labels.parquet", runtime)
    labels = {row["id"]: row for row in read(tmp_path / "labels.parquet")}
    pair = Pair.from_responses(build_user_prompt("Say one."), "one, gladly", "no")
    row = labels[pair.id]
    assert " ".join(row) == "id p_a margin status annotator weights prompt_hash tokens seconds note calls detail"
    assert (row["p_a"], row["margin"]) == ((1.0, 9.0) if pair.a == "one, gladly" else (0.0, -9.0))
    assert (row["status"], row["annotator"], row["weights"], row["tokens"]) == ("ok", "Longest", "", 0)
    assert (row["calls"], row["detail"]) == (0, "")
    assert row["prompt_hash"] == pair.prompt_id
    five = labels[Pair.from_responses(build_user_prompt("Say five."), "five", "cinq").id]
    assert (five["p_a"], five["status"], five["note"]) == (None, "abstained", "a lead of 0 characters")


def test_log_probabilities_that_were_read_before_are_not_read_again(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = (f"policy={tiny_model}", f"reference={shutil.copytree(tiny_model, tmp_path / 'model')}")
    weights = tmp_path / "model" / "model.safetensors"
    changed = load_file(weights)
    changed["lm_head.weight"] += 0.5 * torch.randn_like(changed["lm_head.weight"])
    save_file(changed, weights, metadata={"format": "pt"})
    found = []
    for table in ("off", str(tmp_path / "table"), str(tmp_path / "table")):
        monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", table)
        annotate_file(pairs, "implicit_reward", models, None, tmp_path / "labels.csv", runtime)
        found.append([{**row, "seconds": None} for row in read(tmp_path / "labels.csv")])
        if found[1:2]:
            # a table is found without loading, so its model may be one that could not be
            monkeypatch.setattr("trimtab.models.checkpoint.load_model", None)
    assert found[0] == found[1] == found[2]
    assert len(list((tmp_path / "table").glob("*.jsonl"))) == 2


def test_a_pair_that_is_longer_than_a_model_reads_fails_and_says_why(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    rows = [*ROWS, {"prompt": "Say much.", "response_a": "much " * 1700, "response_b": "no", "label": "a"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = (f"policy={tiny_model}", f"reference={tiny_model}")
    annotate_file(path, "implicit_reward", models, None, tmp_path / "labels.jsonl", runtime)
    labels = {row["id"]: row for row in read(tmp_path / "labels.jsonl")}
    long = labels.pop(Pair.from_responses(build_user_prompt("Say much."), "much " * 1700, "no").id)
    assert long["status"] == "failed"
    assert long["note"].endswith("tokens, and the model reads texts of at most 8192")
    assert {row["status"] for row in labels.values()} == {"abstained"}  # a model beside itself has no opinion


def test_every_suffix_holds_the_same_rows(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        annotate_file(pairs, "longest", (), None, tmp_path / "deep" / f"labels{suffix}", runtime)
    found = [read(tmp_path / "deep" / f"labels{suffix}") for suffix in SUFFIXES]
    for rows in found:
        assert [list(row) for row in rows] == [LABEL_COLUMNS.names] * len(ROWS)
    told = [[(row["id"], row["status"], str(row["margin"] or "")) for row in rows] for rows in found]
    assert told[0] == told[1] == told[2]


def test_the_summary_counts_rows_and_compares_with_people_and_with_length(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    assert annotate_file(pairs, "human", (), None, tmp_path / "labels.csv", runtime).splitlines() == [
        "5 pairs: 4 labeled, 1 abstained, 0 failed",
        "1 rows of pairs.jsonl gave no pair: 'response_a' and 'response_b' are identical (1)",
        "agreement with the human labels: 1.00 [0.51, 1.00] of 4 pairs",
        f"the longer response, on the same pairs: {THREE_OF_FOUR}",
    ]


def test_without_human_labels_the_summary_says_so(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "bare.jsonl"
    path.write_text("".join(json.dumps({**row, "label": None}) + "\n" for row in ROWS))
    told = annotate_file(path, "longest", ["gap=1"], None, tmp_path / "labels.csv", runtime)
    assert told.splitlines()[1:] == ["no labeled pair has a human label to compare with"]


def test_settings_reach_the_annotator_as_the_type_they_are(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    told = annotate_file(pairs, "longest", ["gap=9"], None, tmp_path / "labels.csv", runtime)
    assert told.startswith("5 pairs: 2 labeled, 3 abstained")


def test_the_weak_model_of_a_run_labels_as_it_did_in_the_run(
    finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    index = load_run_index(finished_run)
    split = open_artifact(finished_run / "stages" / index["split"])
    (weak,) = (arm for arm in index["arms"] if arm["name"] == "weak")
    expected = load_annotations(open_artifact(finished_run / "stages" / weak["labels"]))
    rows = [
        {"prompt": pair.prompt[0].content, "response_a": pair.a, "response_b": pair.b}
        for pair in load_split_pairs(split, "unlabeled")
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotate_file(path, "implicit_reward", (), finished_run, tmp_path / "labels.jsonl", runtime)
    found = {str(row["id"]): row for row in read(tmp_path / "labels.jsonl")}
    assert set(found) == set(expected)
    for key, label in expected.items():
        assert found[key]["margin"] == pytest.approx(label.margin, abs=1e-3)
        assert found[key]["tokens"] == label.cost.prompt_tokens
    (weights,) = {str(row["weights"]) for row in found.values()}
    (model,) = (arm for arm in index["arms"] if arm["name"] == "weak_model")
    assert weights.split()[0] == model["training"].rpartition("-")[2]


def test_models_by_folder_need_no_run(
    pairs: Path, tiny_model: Path, finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    (trained,) = (finished_run / "stages").glob("sft.student-*")
    settings = [f"policy={trained}", f"reference={tiny_model}", "beta=1.0"]
    annotate_file(pairs, "implicit_reward", settings, None, tmp_path / "labels.jsonl", runtime)
    for row in read(tmp_path / "labels.jsonl"):
        assert row["p_a"] == pytest.approx(1 / (1 + math.exp(-row["margin"])))


def test_a_model_against_itself_has_no_opinion(pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path) -> None:
    settings = [f"policy={tiny_model}", f"reference={tiny_model}"]
    told = annotate_file(pairs, "implicit_reward", settings, None, tmp_path / "labels.csv", runtime)
    assert told.startswith("5 pairs: 0 labeled, 5 abstained, 0 failed")


@pytest.mark.parametrize(
    ("kind", "settings", "to", "wrong"),
    [
        ("longest", [], "labels.txt", r"the suffix must be one of \.parquet, \.jsonl, \.csv, got \.txt"),
        ("longest", [], "labels", "got none"),
        ("longest", [], "pairs.jsonl", "that is the file of pairs itself"),
        ("longest", ["gap"], "labels.csv", "'gap': a change is written key=value or key.sub=value"),
        ("longest", ["gap=[1"], "labels.csv", r"'gap=\[1': the value is not YAML"),
        ("longest", ["gap=wide"], "labels.csv", "gap: expected a whole number, got 'wide'"),
        ("longest", ["gpa=1"], "labels.csv", "gpa: there is no such setting; did you mean 'gap'"),
        ("longest", ["kind=human"], "labels.csv", "the kind of annotator is named by --with"),
        ("longst", [], "labels.csv", "no 'longst' among the annotators .* did you mean 'longest'"),
        ("flip", ["like=weak"], "labels.csv", r"--with flip: it reads the labels of other arms \(weak\)"),
        ("implicit_reward", [], "labels.csv", "@weak is a model of a study: .* --run DIR"),
        ("seam", ["weak=smollm2-135m-instruct"], "labels.csv", "@student is a model of a study: .* --run DIR"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    pairs: Path, runtime: Runtime, tmp_path: Path, kind: str, settings: list[str], to: str, wrong: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StudyError, match=wrong):
        annotate_file(pairs, kind, settings, None, tmp_path / to, runtime)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_that_is_not_one_and_a_model_that_no_run_has_are_refused(
    pairs: Path, finished_run: Path, runtime: Runtime, tmp_path: Path
) -> None:
    to = tmp_path / "labels.csv"
    with pytest.raises(StoreError, match="holds no finished run"):
        annotate_file(pairs, "implicit_reward", (), tmp_path, to, runtime)
    with pytest.raises(StudyError, match=r"no model '@strong' in a run \(there are: @weak, @weak.sft, "):
        annotate_file(pairs, "implicit_reward", ["policy=@strong"], finished_run, to, runtime)
    with pytest.raises(ModelError, match="no model 'smollm'"):
        annotate_file(pairs, "implicit_reward", ["policy=smollm"], finished_run, to, runtime)


def test_all_that_there_is_to_tell_of_a_label_is_written(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    settings = ["weak={kind: scripted, weighs: {gladly: [3, 1]}}"]
    for suffix in SUFFIXES:
        annotate_file(pairs, "prompted", settings, None, tmp_path / f"labels{suffix}", runtime)
    key = Pair.from_responses(build_user_prompt("Say one."), "one, gladly", "no").id
    found = [next(row for row in read(tmp_path / f"labels{suffix}") if row["id"] == key) for suffix in SUFFIXES]
    # three in four for the first response, whichever it is
    wanted = {"orders": {"a_first": 0.75, "b_first": 0.25}, "flipped": True}
    for row in found:
        detail = json.loads(row["detail"]) if isinstance(row["detail"], str) else row["detail"]
        assert {name: detail[name] for name in wanted} == wanted
        assert int(row["calls"]) == 2
    assert isinstance(found[1]["detail"], dict)


def test_a_filter_says_which_labels_are_kept(pairs: Path, runtime: Runtime, tmp_path: Path) -> None:
    to = tmp_path / "labels.jsonl"
    told = annotate_file(pairs, "longest", (), None, to, runtime, filter_by="{kind: uncertainty, fraction: 0.5}")
    rows = read(to)
    assert told.splitlines()[0] == "5 pairs: 4 labeled, 1 abstained, 0 failed"
    assert told.splitlines()[-1] == "2 labels kept by uncertainty"
    assert [row["status"] for row in rows].count("ok") == 2
    assert [(row["p_a"], row["note"]) for row in rows if row["note"].startswith("dropped")] == [
        (None, "dropped by uncertainty")
    ] * 2


@pytest.mark.parametrize(
    ("chosen", "wrong"),
    [
        ("certainty", "--filter certainty: kind: no 'certainty' among the filters .* did you mean 'uncertainty'"),
        ("{kind: uncertainty, fraction: 2}", r"--filter \{kind: uncertainty, fraction: 2\}: fraction"),
        ("{kind: rest, of: seam}", r"it reads the labels of other arms \(seam\), which only a study has"),
        ("budget", "--filter budget: it learns from labeled pairs of a study"),
        ("[uncertainty", "--filter .*while parsing"),
    ],
)
def test_a_filter_that_will_not_do_is_refused_before_any_work(
    pairs: Path, runtime: Runtime, tmp_path: Path, chosen: str, wrong: str
) -> None:
    with pytest.raises(StudyError, match=wrong):
        annotate_file(pairs, "longest", (), None, tmp_path / "labels.csv", runtime, filter_by=chosen)
    assert not (tmp_path / "labels.csv").exists()


def test_labels_that_a_filter_refuses_are_written_before_it_says_so(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    to = tmp_path / "labels.jsonl"
    with pytest.raises(DataError, match=r"detail\.score is None, expected a number"):
        annotate_file(pairs, "longest", (), None, to, runtime, filter_by="information")
    assert [row["status"] for row in read(to)].count("ok") == 4


def test_a_file_that_is_not_there_is_refused_by_name(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl: no such file"):
        annotate_file(tmp_path / "nowhere.jsonl", "longest", (), None, tmp_path / "labels.csv", runtime)


def test_a_rule_is_applied_without_torch(pairs: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trimtab.workflows.annotate_file import label_file; "
        "label_file(Path(sys.argv[1]), 'longest', (), None, Path(sys.argv[2]), None); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(pairs), str(tmp_path / "labels.csv")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_annotator_that_learns_is_told_from_which_pairs(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    fit = tmp_path / "fit.jsonl"
    rows = [
        {"prompt": f"Say it {place} times.", "response_a": "gladly" * (place % 3 + 1), "response_b": "no", "label": "a"}
        for place in range(24)
    ]
    fit.write_text("".join(json.dumps(row) + "\n" for row in rows))
    to, settings = tmp_path / "labels.jsonl", (f"model={tiny_model}",)
    with pytest.raises(
        StudyError, match="--with probe: it learns from labeled pairs; name a file of them with --fit FILE"
    ):
        annotate_file(pairs, "probe", settings, None, to, runtime)
    with pytest.raises(StudyError, match="--fit: longest learns from no labeled pairs; leave it out"):
        annotate_file(pairs, "longest", (), None, to, runtime, TrainingPairs(fit))
    with pytest.raises(DataError, match="probe: 19 labeled pairs to learn from, expected 20 or more"):
        annotate_file(pairs, "probe", settings, None, to, runtime, TrainingPairs(fit, 19))
    told = annotate_file(pairs, "probe", settings, None, to, runtime, TrainingPairs(fit))
    assert "4 pairs: 4 labeled" in told or "5 pairs: 5 labeled" in told
    labels = read(to)
    assert [row["annotator"] for row in labels] == ["Probe"] * len(labels)
    assert all(0 < row["p_a"] < 1 and row["tokens"] > 0 for row in labels)
    assert not list(tmp_path.glob("*.asked"))


def test_an_annotator_that_learns_reads_pairs_of_as_many_tokens_as_it_is_told(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    fit, path, to = tmp_path / "fit.jsonl", tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
    taught = [{"prompt": f"Ask {n}.", "chosen": "gladly", "rejected": f"no, {n}"} for n in range(24)]
    fit.write_text("".join(json.dumps(row) + "\n" for row in taught))
    # a digit is a token of the weak model's tokenizer, and a byte of the tiny model's
    long = {"prompt": "Count.", "response_a": "1" * 600, "response_b": "no", "label": "a"}
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, long]))
    key = Pair.from_responses(build_user_prompt("Count."), "1" * 600, "no").id
    found = []
    for most in (None, 900):
        annotate_file(path, "probe", (f"model={tiny_model}",), None, to, runtime, TrainingPairs(fit, max_length=most))
        (row,) = [row for row in read(to) if row["id"] == key]
        found.append((row["status"], row["note"]))
    assert found == [("failed", "longer than 512 tokens; --max-tokens N allows more"), ("ok", "")]
