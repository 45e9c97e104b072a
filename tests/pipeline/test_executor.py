"""A study is carried out once, goes on after a kill, and says what it leaves out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, EngineError, StudyError
from trimtab.pipeline.executor import RunResult, preflight_engines, run_study
from trimtab.pipeline.plan import build_plan, required_models
from trimtab.report.collect.report import collect_report
from trimtab.report.page.html import render_html
from trimtab.storage.artifacts import Store
from trimtab.types import Pair, build_user_prompt


def carried_out(study: Study, folder: Path, runtime: Runtime) -> RunResult:
    return run_study(study, folder, runtime, lambda place, total, name: None)


def digests(folder: Path) -> dict[str, str]:
    """The hash of everything that a study's stages made: tables and weights."""
    made = [path for suffix in ("parquet", "safetensors") for path in (folder / "stages").rglob(f"*.{suffix}")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in made
        if "checkpoint-" not in str(path)
    }


def write_pairs(path: Path, prompts: range, *, labeled: bool) -> None:
    label = {"label": "a"} if labeled else {}
    rows = [
        {"prompt": f"Question {n}?", "response_a": f"Yes, {n}.", "response_b": f"No {n}!", **label} for n in prompts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_study_that_is_run_again_makes_nothing(finished_run: Path, tiny_study: str, runtime: Runtime) -> None:
    before = digests(finished_run)
    outcome = carried_out(Study.parse(tiny_study), finished_run, runtime)
    assert outcome.created == ()
    assert len(outcome.reused) == len(json.loads((finished_run / "run.json").read_text())["stages"])
    assert digests(finished_run) == before


ASKING = """
name: asking
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
evaluation: {checker: checker}
arms: {x: {annotator: {kind: prompted, weak: &there {kind: openai, base_url: "http://127.0.0.1:1/v1", model: m}}}}
judges: {rule: {kind: pairwise, engine: *there}}
"""


@pytest.mark.parametrize(
    ("change", "place"),
    [("arms.x.annotator.weak", r"arms\.x\.annotator\.weak"), ("judges.rule.engine", r"judges\.rule")],
)
def test_an_engine_that_cannot_be_asked_stops_a_study_before_anything_is_trained(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, change: str, place: str
) -> None:
    monkeypatch.delenv("NO_KEY_HERE", raising=False)
    scripted = [f"{each}={{kind: scripted}}" for each in ("arms.x.annotator.weak", "judges.rule.engine")]
    wrong = f"{change}={{kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m, api_key_env: NO_KEY_HERE}}"
    study, store = Study.parse(ASKING, [*scripted, wrong]), Store(tmp_path)
    plan = build_plan(study)
    with pytest.raises(EngineError, match=rf"^{place}: api_key_env: the environment variable NO_KEY_HERE is not set"):
        preflight_engines(study, plan, store, runtime)
    for stage in plan.stages:
        if stage.kind in ("annotate", "judge"):
            store.get_or_create(stage.name, stage.recipe, lambda draft: {})
    # what it was to be asked is there: it is needed no more
    preflight_engines(study, plan, store, runtime)


def test_every_study_has_the_reference_rows_with_figures(finished_run: Path) -> None:
    report = collect_report(finished_run)
    assert [arm.name for arm in report.arms] == ["base", "sft", "human", "weak", "flipped", "weak_model"]
    for arm in report.arms:
        assert arm.metrics["gold_reward"].n == arm.metrics["length"].n == 6
        assert ("accuracy" in arm.metrics) == (arm.name not in ("base", "sft"))
    assert report.get_difference("weak", "sft", "gold_reward") is not None
    assert any("synthetic" in note for note in report.notes)


def test_flipped_labels_agree_with_people_as_often_as_weak_ones(finished_run: Path) -> None:
    labels = {label.arm: label.metrics["agreement"].value for label in collect_report(finished_run).labels}
    assert labels["flipped"] == labels["weak"]
    assert labels["human"] == 1.0


def test_finished_stages_keep_no_checkpoints(finished_run: Path) -> None:
    assert not list(finished_run.rglob("checkpoint-*"))
    assert not list(finished_run.rglob("*.part"))


@pytest.mark.slow
def test_a_run_killed_again_and_again_gives_the_same_bytes(finished_run: Path, tiny_study: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    command = [sys.executable, "-m", "trimtab", "run", str(study), "--out", str(tmp_path / "run")]
    # with a table of log-probabilities, which the run beside it does without
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": str(tmp_path / "table")}
    for seconds in (9, 12, 15):
        process = subprocess.Popen(
            command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert digests(tmp_path / "run") == digests(finished_run)
    ours, theirs = (json.loads((tmp_path / "run" / "report.json").read_text()), collect_report(finished_run))
    from trimtab.report.model import report_to_json

    for part in ("arms", "comparisons", "samples", "notes"):
        assert ours[part] == json.loads(json.dumps(report_to_json(theirs)))[part], part


@pytest.fixture
def three_files(tmp_path: Path, tiny_study: str) -> dict[str, Any]:
    """The tiny study on three files, of which the unlabeled one has no labels."""
    for side, prompts in (("labeled", range(6)), ("unlabeled", range(10, 16)), ("test", range(20, 24))):
        write_pairs(tmp_path / f"{side}.jsonl", prompts, labeled=side != "unlabeled")
    sides = {
        side: {"kind": "file", "path": str(tmp_path / f"{side}.jsonl")} for side in ("labeled", "unlabeled", "test")
    }
    document = yaml.safe_load(tiny_study)
    del document["evaluation"], document["split"]
    return {**document, "data": sides}


def test_without_human_labels_the_arms_that_need_them_are_left_out_and_say_so(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    carried_out(Study.model_validate(three_files), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    skipped = {arm.name: arm.skipped for arm in report.arms if arm.skipped}
    assert skipped == dict.fromkeys(("human", "flipped"), "no human labels on the unlabeled pairs")
    assert set(report.labels[0].metrics) == {"coverage", "length_correlation"}  # nothing to agree with


def test_the_papers_own_targets_and_a_trained_reward_run_to_a_report(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    write_pairs(tmp_path / "elsewhere.jsonl", range(18, 34), labeled=True)  # 20 to 23 stand in the test pairs
    reward = {
        "kind": "trained_reward",
        "model": three_files["models"]["student"],
        "data": {"kind": "file", "path": str(tmp_path / "elsewhere.jsonl")},
    }
    changed = {
        **three_files,
        "training": {**three_files["training"], "sft_target": "own"},
        "evaluation": {"proxy": reward},
        "arms": {"length": {"annotator": {"kind": "longest"}}},
    }
    carried_out(Study.model_validate(changed), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    arms = {arm.name: arm for arm in report.arms}
    assert arms["length"].metrics["gold_reward"].n == 4
    assert [note for note in report.notes if "proxy is a proxy: a reward model trained on 12 human pairs" in note]
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert {name.rsplit("-", 1)[0] for name in stages} >= {"sft.weak", "sft.length", "sft.student", "reward.proxy"}


def test_students_that_choose_are_trained_on_what_a_trained_weak_model_answers(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    asked = {"kind": "prompted", "weak": "@weak.preference_model"}
    changed = {
        **three_files,
        "training": {**three_files["training"], "student": "preference", "weak_preference": {"orders": "both"}},
        "arms": {
            "weak": {"annotator": asked},
            "looked_at": {"annotator": {"kind": "self_reward"}, "train": False},
            "surest": {
                "annotator": asked,
                "filter": {"kind": "uncertainty", "fraction": 0.5},
                "preference": {"epochs": 2},
            },
        },
    }
    carried_out(Study.model_validate(changed), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    assert {arm.name: arm.metrics["accuracy"].n for arm in report.arms if not arm.skipped} == dict.fromkeys(
        ("base", "weak", "surest", "weak_model"), 4
    )
    assert {arm.metrics["order_flips"].n for arm in report.arms if not arm.skipped} == {4}  # asked in both orders
    assert report.get_difference("weak", "base", "order_flips") is not None
    page = render_html(report)
    assert page.count("minus base, paired") == 1
    assert "minus sft" not in page
    index = json.loads((tmp_path / "run" / "run.json").read_text())
    kinds = {name.split("-")[0].split(".")[0] for name in index["stages"]}
    assert kinds == {"split", "predict", "preference", "annotate", "filter"}  # nothing is trained that nobody asks for
    kept = {label.arm: label.metrics["coverage"].value for label in report.labels}
    assert kept["surest"] == pytest.approx(0.5)
    assert kept["weak"] == 1.0
    assert kept["looked_at"]
    untrained = next(arm for arm in index["arms"] if arm["name"] == "looked_at")
    assert untrained["labels"]
    assert untrained["training"] is untrained["predictions"] is None
    assert untrained["skipped"] == "its labels alone were asked for (train: false)"
    steps = {
        name: len((tmp_path / "run" / "stages" / name / "log.jsonl").read_text().splitlines())
        for name in index["stages"]
        if name.startswith("preference.")
    }
    by_name = {name.rsplit("-", 1)[0]: count for name, count in steps.items()}
    # both orders of a pair count once in a step of eight pairs
    assert by_name == {"preference.weak-model": 1, "preference.weak": 1, "preference.surest": 2}


def test_a_student_that_chooses_is_given_nothing_that_it_does_not_read(three_files: dict[str, Any]) -> None:
    choosing = {**three_files, "training": {"student": "preference"}}
    with pytest.raises(ValueError, match=r"evaluation: training\.student is preference"):
        Study.model_validate({**choosing, "evaluation": {"gold": {"kind": "checker"}}})
    with pytest.raises(ValueError, match=r"arms.mine.dpo: training.student is preference"):
        Study.model_validate({**choosing, "arms": {"mine": {"annotator": "longest", "dpo": {"beta": 0.2}}}})
    with pytest.raises(
        ValueError,
        match=r"arms.mine.preference: training.student is dpo, which reads `dpo`, and nobody asks @mine.preference_model",
    ):
        Study.model_validate({**three_files, "arms": {"mine": {"annotator": "longest", "preference": {"epochs": 2}}}})
    with pytest.raises(ValueError, match=r"arms.mine: train is false, so no student reads its settings"):
        untrained = {"annotator": "longest", "train": False, "preference": {"epochs": 2}}
        Study.model_validate({**choosing, "arms": {"mine": untrained}})


def test_a_model_that_is_only_asked_is_fetched_with_the_others(three_files: dict[str, Any]) -> None:
    asked = {"kind": "self_reward", "strong": "gemma3-270m"}
    study = Study.model_validate({**three_files, "arms": {"mine": {"annotator": asked}}})
    assert [model.base for model in required_models(study)][2:] == ["gemma3-270m"]


def test_pairs_longer_than_the_limit_are_counted_and_left_out(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    long = Pair.from_responses(build_user_prompt("word " * 200), "yes", "no", "first")
    with (tmp_path / "labeled.jsonl").open("a") as out:
        out.write(
            json.dumps({"prompt": "word " * 200, "response_a": long.a, "response_b": long.b, "label": "a"}) + "\n"
        )
    study = Study.model_validate({**three_files, "max_tokens": 200})
    carried_out(study, tmp_path / "run", runtime)
    split = collect_report(tmp_path / "run").data[0]
    assert split.failures == 1
    assert "1 longer than 200 tokens" in split.note


def test_a_limit_beyond_what_a_model_reads_is_refused_before_any_work(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    study = Study.model_validate({**three_files, "max_tokens": 9000})
    with pytest.raises(
        StudyError, match=r"max_tokens: 9000, and the .* model \(.*\) reads texts of at most 8192 tokens"
    ):
        carried_out(study, tmp_path / "run", runtime)


def test_a_limit_that_no_pair_meets_is_an_error_that_says_what_to_raise(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    study = Study.model_validate({**three_files, "max_tokens": 8})
    with pytest.raises(DataError, match=r"no pair is short enough: all 6 have .* more than 8 tokens; raise max_tokens"):
        carried_out(study, tmp_path / "run", runtime)
