"""Runs studies: stages run once, a killed run resumes, and what is skipped is reported."""

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
from trimtab.pipeline.executor import RunResult, run_study
from trimtab.pipeline.plan import build_plan, required_models
from trimtab.pipeline.plan.student_stages import LABELS_ONLY
from trimtab.pipeline.preflight import preflight_engines
from trimtab.pipeline.run_index import load_run_index
from trimtab.report.collect.report import collect_report
from trimtab.report.page.html import render_html
from trimtab.storage.artifacts import Store
from trimtab.types import Pair, build_user_prompt


def execute(study: Study, folder: Path, runtime: Runtime) -> RunResult:
    return run_study(study, folder, runtime, lambda number, total, name: None)


def digests(folder: Path) -> dict[str, str]:
    """Hashes of all tables and weights in the stage folders."""
    paths = [path for suffix in ("parquet", "safetensors") for path in (folder / "stages").rglob(f"*.{suffix}")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if "checkpoint-" not in str(path)
    }


def write_pairs(path: Path, prompts: range, *, labeled: bool) -> None:
    label = {"label": "a"} if labeled else {}
    rows = [
        {"prompt": f"Question {n}?", "response_a": f"Yes, {n}.", "response_b": f"No {n}!", **label} for n in prompts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_running_a_finished_study_again_creates_nothing(finished_run: Path, tiny_study: str, runtime: Runtime) -> None:
    before = digests(finished_run)
    result = execute(Study.parse(tiny_study), finished_run, runtime)
    assert result.created == ()
    assert len(result.reused) == len(load_run_index(finished_run).stages)
    assert digests(finished_run) == before


PROMPTING = """
name: prompting
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
scorers: {checker: synthetic_checker}
arms: {x: {annotator: {kind: prompted, weak: &server {kind: openai, base_url: "http://127.0.0.1:1/v1", model: m}}}}
judges: {rule: {kind: pairwise, engine: *server}}
"""


@pytest.mark.parametrize(
    ("setting", "location"),
    [("arms.x.annotator.weak", r"arms\.x\.annotator\.weak"), ("judges.rule.engine", r"judges\.rule")],
)
def test_an_unusable_engine_stops_a_study_before_any_training(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, setting: str, location: str
) -> None:
    monkeypatch.delenv("NO_KEY_HERE", raising=False)
    scripted = [f"{name}={{kind: scripted}}" for name in ("arms.x.annotator.weak", "judges.rule.engine")]
    unusable = f"{setting}={{kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m, api_key_env: NO_KEY_HERE}}"
    study, store = Study.parse(PROMPTING, [*scripted, unusable]), Store(tmp_path)
    plan = build_plan(study)
    with pytest.raises(
        EngineError, match=rf"^{location}: api_key_env: the environment variable NO_KEY_HERE is not set"
    ):
        preflight_engines(study, plan, store, runtime)
    for stage in plan.stages:
        if stage.kind in ("annotate", "judge"):
            store.get_or_create(stage.name, stage.recipe, lambda draft: {})
    # all stages that use the engine are finished, so it is not needed any more
    preflight_engines(study, plan, store, runtime)


def test_every_study_has_the_reference_rows_with_metrics(finished_run: Path) -> None:
    report = collect_report(finished_run)
    assert [arm.name for arm in report.arms] == ["base", "sft", "human", "weak", "flipped", "weak_model"]
    for arm in report.arms:
        assert arm.metrics["gold_reward"].n == arm.metrics["length"].n == 6
        assert ("accuracy" in arm.metrics) == (arm.name not in ("base", "sft"))
    assert report.get_difference("weak", "sft", "gold_reward") is not None
    assert any("synthetic" in note for note in report.notes)


def test_flipped_labels_agree_with_human_labels_as_often_as_weak_labels(finished_run: Path) -> None:
    labels = {label.arm: label.metrics["agreement"].value for label in collect_report(finished_run).labels}
    assert labels["flipped"] == labels["weak"]
    assert labels["human"] == 1.0


def test_finished_stages_keep_no_checkpoints(finished_run: Path) -> None:
    assert not list(finished_run.rglob("checkpoint-*"))
    assert not list(finished_run.rglob("*.part"))


def wait_for_stages(process: subprocess.Popen[bytes], run: Path, count: int, timeout: float = 120.0) -> None:
    """Waits until the run has `count` finished stages. The process must still be running then."""
    deadline = time.monotonic() + timeout
    while len(list(run.glob("stages/*/record.json"))) < count:
        assert process.poll() is None, f"the run ended before {count} stages were finished"
        assert time.monotonic() < deadline, f"{count} stages were not finished after {timeout:g} seconds"
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"


@pytest.mark.slow
def test_a_run_that_is_killed_three_times_gives_the_same_bytes(
    finished_run: Path, tiny_study: str, tmp_path: Path
) -> None:
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(tiny_study)
    command = [sys.executable, "-m", "trimtab", "run", str(study), "--out", str(run)]
    # with a log-probability cache, which the other run does not have
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": str(tmp_path / "cache")}
    for finished_stages in (1, 5, 12):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for_stages(process, run, finished_stages)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert digests(run) == digests(finished_run)
    ours, theirs = (json.loads((run / "report.json").read_text()), collect_report(finished_run))
    from trimtab.report.model import report_to_json

    for part in ("arms", "comparisons", "samples", "notes"):
        assert ours[part] == json.loads(json.dumps(report_to_json(theirs)))[part], part


@pytest.fixture
def three_files(tmp_path: Path, tiny_study: str) -> dict[str, Any]:
    """The tiny study with predefined splits in three files. The unlabeled pairs have no labels."""
    prompts = {"labeled": range(6), "unlabeled": range(10, 16), "test": range(20, 24)}
    for name, numbers in prompts.items():
        write_pairs(tmp_path / f"{name}.jsonl", numbers, labeled=name != "unlabeled")
    splits = {name: {"kind": "file", "path": str(tmp_path / f"{name}.jsonl")} for name in prompts}
    document = yaml.safe_load(tiny_study)
    del document["scorers"], document["split"]
    return {**document, "data": splits}


def test_without_human_labels_the_arms_that_need_them_are_skipped_with_a_reason(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    execute(Study.model_validate(three_files), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    skipped = {arm.name: arm.skipped for arm in report.arms if arm.skipped}
    assert skipped == dict.fromkeys(("human", "flipped"), "no human labels on the unlabeled pairs")
    assert set(report.labels[0].metrics) == {
        "coverage",
        "length_correlation",
    }  # there are no human labels to compare with


def test_sft_on_arm_chosen_responses_and_a_study_reward_model_run_to_a_report(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    write_pairs(tmp_path / "other.jsonl", range(18, 34), labeled=True)  # 20 to 23 are test prompts
    reward = {
        "kind": "study_reward_model",
        "model": three_files["models"]["student"],
        "data": {"kind": "file", "path": str(tmp_path / "other.jsonl")},
    }
    document = {
        **three_files,
        "training": {**three_files["training"], "sft_data": "arm_chosen"},
        "scorers": {"proxy": reward},
        "arms": {"length": {"annotator": {"kind": "length"}}},
    }
    execute(Study.model_validate(document), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    arms = {arm.name: arm for arm in report.arms}
    assert arms["length"].metrics["gold_reward"].n == 4
    assert [note for note in report.notes if "proxy is a proxy: a reward model" in note and " 12 " in note]
    stages = {name.rsplit("-", 1)[0] for name in load_run_index(tmp_path / "run").stages}
    assert stages >= {"sft.weak", "sft.length", "study-prompts", "study-reward-model.proxy"}


def test_preference_model_students_are_trained_on_the_labels_of_a_weak_preference_model(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    annotator = {"kind": "prompted", "weak": "@weak.preference_model"}
    training = {"objective": "preference_model", "weak_preference_model": {"presentation_order": "both"}}
    document = {
        **three_files,
        "training": {**three_files["training"], **training},
        "arms": {
            "weak": {"annotator": annotator},
            "untrained": {"annotator": {"kind": "self_reward"}, "labels_only": True},
            "confident": {
                "annotator": annotator,
                "filter": {"kind": "uncertainty", "fraction": 0.5},
                "preference_model": {"num_train_epochs": 2},
            },
        },
    }
    execute(Study.model_validate(document), tmp_path / "run", runtime)
    report = collect_report(tmp_path / "run")
    assert {arm.name: arm.metrics["accuracy"].n for arm in report.arms if not arm.skipped} == dict.fromkeys(
        ("base", "weak", "confident", "weak_model"), 4
    )
    both_orders = {arm.metrics["order_inconsistency"].n for arm in report.arms if not arm.skipped}
    assert both_orders == {4}
    assert report.get_difference("weak", "base", "order_inconsistency") is not None
    page = render_html(report)
    assert page.count("minus base, paired") == 2  # of the accuracy and of the position inconsistency
    assert "minus sft" not in page
    index = load_run_index(tmp_path / "run")
    kinds = {name.rsplit("-", 1)[0].split(".")[0] for name in index.stages}
    assert kinds == {
        "split",
        "predict",
        "preference-model",
        "annotate",
        "filter",
    }  # no model is trained that is not used
    coverage = {label.arm: label.metrics["coverage"].value for label in report.labels}
    assert coverage["confident"] == pytest.approx(0.5)
    assert coverage["weak"] == 1.0
    assert coverage["untrained"]
    untrained = index.find_row("untrained")
    assert untrained is not None and untrained.labels
    assert untrained.training is untrained.predictions is None
    assert untrained.skipped == LABELS_ONLY
    steps = {
        name: len((tmp_path / "run" / "stages" / name / "log.jsonl").read_text().splitlines())
        for name in index.stages
        if name.startswith("preference-model.")
    }
    by_name = {name.rsplit("-", 1)[0]: count for name, count in steps.items()}
    # both orders of a pair count once in a step of eight pairs
    assert by_name == {
        "preference-model.weak-model": 1,
        "preference-model.weak": 1,
        "preference-model.confident": 2,
    }


def test_settings_that_a_preference_model_student_does_not_read_are_errors(three_files: dict[str, Any]) -> None:
    document = {**three_files, "training": {"objective": "preference_model"}}
    unused = {"annotator": "length", "dpo": {"beta": 0.2}}
    own_settings = {"annotator": "length", "preference_model": {"num_train_epochs": 2}}
    with pytest.raises(ValueError, match=r"scorers: training\.objective is preference_model"):
        Study.model_validate({**document, "scorers": {"gold": {"kind": "synthetic_checker"}}})
    with pytest.raises(ValueError, match=r"arms.mine.dpo: unused, since training.objective is preference_model"):
        Study.model_validate({**document, "arms": {"mine": unused}})
    with pytest.raises(
        ValueError,
        match=r"arms.mine.preference_model: unused, since training.objective is dpo, .*@mine.preference_model",
    ):
        Study.model_validate({**three_files, "arms": {"mine": own_settings}})
    with pytest.raises(ValueError, match=r"arms.mine: labels_only is true, so its training settings are unused"):
        Study.model_validate({**document, "arms": {"mine": {**own_settings, "labels_only": True}}})


def test_a_model_that_is_only_prompted_is_downloaded_with_the_others(three_files: dict[str, Any]) -> None:
    annotator = {"kind": "self_reward", "strong": "gemma3-270m"}
    study = Study.model_validate({**three_files, "arms": {"mine": {"annotator": annotator}}})
    assert [model.base for model in required_models(study)][2:] == ["gemma3-270m"]


def test_pairs_longer_than_the_limit_are_counted_and_dropped(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    long = Pair.from_responses(build_user_prompt("word " * 200), "yes", "no", "first")
    with (tmp_path / "labeled.jsonl").open("a") as out:
        out.write(
            json.dumps({"prompt": "word " * 200, "response_a": long.a, "response_b": long.b, "label": "a"}) + "\n"
        )
    study = Study.model_validate({**three_files, "max_length": 200})
    execute(study, tmp_path / "run", runtime)
    split = collect_report(tmp_path / "run").data[0]
    assert split.failures == 0  # a long pair is not a failed row
    assert "1 longer than 200 tokens" in split.note


def test_a_limit_above_the_models_maximum_is_an_error_before_any_work(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    study = Study.model_validate({**three_files, "max_length": 9000})
    message = r"max_length: 9000 is more than the 8192 tokens that the .* model \(.*\) can process"
    with pytest.raises(StudyError, match=message):
        execute(study, tmp_path / "run", runtime)


def test_a_limit_that_no_pair_meets_is_an_error_that_says_what_to_raise(
    three_files: dict[str, Any], tmp_path: Path, runtime: Runtime
) -> None:
    study = Study.model_validate({**three_files, "max_length": 8})
    with pytest.raises(DataError, match=r"no pair is short enough: all 6 have .* more than 8 tokens; raise max_length"):
        execute(study, tmp_path / "run", runtime)
