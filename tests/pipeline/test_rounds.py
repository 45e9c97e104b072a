"""In later rounds, the student writes new responses, the annotator labels them, and the student is aligned further."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, build_plan, sort_stages
from trimtab.pipeline.run_index import RunIndex, load_run_index
from trimtab.report.collect.report import build_report, collect_label_info, collect_report
from trimtab.report.hub_card.labels_card import build_labels_card
from trimtab.report.hub_card.student_card import build_student_card
from trimtab.report.page.sections.rounds import build_round_tables
from trimtab.report.run_reader import Run
from trimtab.storage.artifacts import Artifact, Store, open_artifact
from trimtab.storage.schemas import load_annotations, load_logprobs, load_split_pairs
from trimtab.types import Pair
from trimtab.workflows.export import export_preferences

ROUNDS = """
rounds: {{count: 3, arms: [weak], num_responses: 2, max_new_tokens: 6{more}}}
"""

RunWhole = Callable[..., tuple[Study, Path]]


@pytest.fixture(scope="module")
def rounds_run(tiny_study: str, finished_run: Path, run_whole: RunWhole) -> Path:
    """The tiny study with three rounds of one arm. Its first round is that of the finished run."""
    return run_whole(tiny_study + ROUNDS.format(more=""), finished_run)[1]


def read_index(folder: Path) -> RunIndex:
    return load_run_index(folder)


def open_stage(folder: Path, stage: str | None) -> Artifact:
    assert stage is not None
    return open_artifact(folder / "stages" / stage)


def round_pairs(folder: Path, row: str) -> list[Pair]:
    return list(load_split_pairs(open_stage(folder, read_index(folder).rounds[row].pairs), "unlabeled"))


def test_a_later_round_has_new_responses_to_the_unlabeled_prompts(rounds_run: Path, finished_run: Path) -> None:
    index = read_index(rounds_run)
    old = load_split_pairs(open_stage(rounds_run, index.split), "unlabeled")
    second, third = (round_pairs(rounds_run, f"weak.round-{number}") for number in (2, 3))
    assert {pair.prompt_id for pair in second} <= {pair.prompt_id for pair in old}
    assert second
    assert third
    assert len({pair.id for pair in (*old, *second, *third)}) == len(old) + len(second) + len(third)
    assert set(read_index(finished_run).stages) <= set(index.stages)


def test_every_round_labels_its_own_pairs_with_the_annotator_of_the_arm(rounds_run: Path) -> None:
    index = read_index(rounds_run)
    for row in ("weak.round-2", "weak.round-3"):
        stage = open_stage(rounds_run, index.rounds[row].labels)
        inputs = {name: index.stage_with_fingerprint(each) for name, each in stage.record["inputs"].items()}
        policy, reference = (
            load_logprobs(open_stage(rounds_run, inputs[f"logprobs.{m}"])) for m in ("@weak", "@weak.sft")
        )
        labels = load_annotations(stage)
        assert [pair.id for pair in round_pairs(rounds_run, row)] == list(labels)
        for key, label in labels.items():
            margin = (policy[key].a - reference[key].a) - (policy[key].b - reference[key].b)
            assert label.choice == ("a" if margin > 0 else "b")
            assert label.p_a != 0.5


def test_the_adapter_of_a_round_is_that_of_the_round_before_trained_further(rounds_run: Path) -> None:
    index = read_index(rounds_run)
    rows = [index.find_row(name) for name in ("weak", "weak.round-2", "weak.round-3")]
    students = [open_stage(rounds_run, row.training if row else None) for row in rows]
    assert {ModelRef(student.folder).parent for student in students} == {ModelRef(students[0].folder).parent}
    for before, after in pairwise(students):
        assert after.record["inputs"]["model"] == before.record["fingerprint"]
    weights = [load_file(student.folder / "adapter" / "adapter_model.safetensors") for student in students]
    fresh = [torch.stack([w.norm() for name, w in each.items() if "lora_B" in name]).sum() for each in weights]
    assert fresh[0] < fresh[1] < fresh[2]


def test_every_round_is_compared_with_the_round_before_and_measured_against_the_first_reference(
    rounds_run: Path,
) -> None:
    report = collect_report(rounds_run)
    assert [each.row for each in report.rounds] == ["weak", "weak.round-2", "weak.round-3"]
    by_name = {arm.name: arm for arm in report.arms}
    for each in report.rounds:
        assert {"accuracy", "kl_to_reference", "length", "gold_reward"} <= set(by_name[each.row].metrics)
        assert by_name[each.row].start == "sft"
        assert each.metrics["anchor_agreement"].n == 6
    assert report.get_difference("weak.round-3", "weak.round-2", "length") is not None
    assert report.get_difference("weak.round-2", "weak", "gold_reward") is not None


def test_a_report_says_that_nobody_labeled_the_pairs_of_a_round(rounds_run: Path) -> None:
    report = collect_report(rounds_run)
    (table,) = build_round_tables(report)
    assert [row.name for row in table.rows] == ["weak, round 1", "weak, round 2", "weak, round 3"]
    assert "agreement" in report.rounds[0].metrics
    assert "agreement" not in report.rounds[1].metrics
    assert any("weak.round-2" in note and "human_labels" in note for note in report.notes)


def test_the_cards_of_a_later_round_describe_its_own_labels(rounds_run: Path) -> None:
    run = Run(rounds_run)
    report, row, info = build_report(run), run.find_row("weak.round-2"), collect_label_info(run, "weak.round-2")
    assert info is not None
    assert info.n_pairs == len(round_pairs(rounds_run, "weak.round-2"))
    labels = build_labels_card(run, report, row, "me/labels", "labels.jsonl", 3, 0)
    assert f" for {info.n_pairs} pairs." in labels
    student = build_student_card(run, report, row, "me/student")
    for card in (labels, student):
        assert "Annotator: `implicit_reward`" in card
    assert "was not trained on an arm's labels" not in student
    assert "\n- Labels: " in student


def test_human_labels_of_a_round_are_compared_with_the_annotator_without_another_training(
    rounds_run: Path, tiny_study: str, run_whole: RunWhole, tmp_path: Path
) -> None:
    exported = tmp_path / "round-2.jsonl"
    export_preferences(rounds_run, "weak.round-2", exported)
    lines = exported.read_text(encoding="utf-8").splitlines()
    wrong = json.loads(lines[0])
    wrong["chosen"], wrong["rejected"] = wrong["rejected"], wrong["chosen"]
    labeled = tmp_path / "labeled.jsonl"
    labeled.write_text("\n".join([json.dumps(wrong), *lines[1:4]]), encoding="utf-8")
    more = f", human_labels: {{kind: file, path: {labeled}}}"
    folder = run_whole(tiny_study + ROUNDS.format(more=more), rounds_run)[1]
    assert {name.rpartition("-")[0] for name in read_index(folder).created} == {
        "human-labels.weak.round-2",
        "human-labels.weak.round-3",
    }
    report = collect_report(folder)
    agreement = {each.row: each.metrics.get("agreement") for each in report.rounds}
    second = agreement["weak.round-2"]
    assert second is not None
    assert (second.value, second.n) == (0.75, 4)
    assert agreement["weak.round-3"] is None
    assert "agreement_change" in report.rounds[1].metrics


def test_rounds_change_no_stage_of_the_study_without_them(tiny_study: str) -> None:
    before, after = (build_plan(Study.parse(text)) for text in (tiny_study, tiny_study + ROUNDS.format(more="")))
    assert {stage.fingerprint for stage in before.stages} < {stage.fingerprint for stage in after.stages}


@pytest.mark.parametrize("setting", ["num_prompts: 3", "temperature: 0.5", "selection: most_different"])
def test_what_samples_the_pairs_of_a_round_changes_its_stages(tiny_study: str, setting: str) -> None:
    before, after = (build_plan(Study.parse(tiny_study + ROUNDS.format(more=more))) for more in ("", f", {setting}"))
    for row in ("weak.round-2", "weak.round-3"):
        assert before.rounds[row].pairs.fingerprint != after.rounds[row].pairs.fingerprint
    assert before.rounds["weak"].labels.fingerprint == after.rounds["weak"].labels.fingerprint


def test_no_annotator_is_trained_again_for_a_later_round(tiny_study: str) -> None:
    arms = """
arms:
  reward: {annotator: {kind: reward_model, model: "@weak.base"}}
  probed: {annotator: {kind: probe, model: "@weak"}, calibration: {method: platt}, filter: margin}
  voted: {annotator: {kind: vote, arms: [weak, reward]}}
"""
    study = tiny_study + arms + ROUNDS.format(more="").replace("[weak]", "[reward, probed, voted]").replace("3", "2")
    plan = build_plan(Study.parse(study))
    new = [
        stage.name
        for row in ("reward.round-2", "probed.round-2", "voted.round-2")
        for stage in sort_stages([plan.rounds[row].labels])
        if stage.role == "training" and stage.fingerprint not in round_one_stages(plan)
    ]
    assert sorted(new) == []
    names = {stage.name for stage in plan.stages}
    assert {"reward-table.reward.round-2", "hidden-states.probed.round-2", "calibrate.probed.round-2"} <= names
    assert {"filter.probed.round-2", "annotate.weak.round-2", "annotate.voted.anchors"} <= names


def round_one_stages(plan: Plan) -> set[str]:
    rows = [row for row in plan.rows if ".round-" not in row.name]
    return {stage.fingerprint for stage in sort_stages([stage for row in rows for stage in row.stages])}


@pytest.mark.parametrize(
    ("rounds", "error"),
    [
        ("{count: 1, arms: [weak]}", "rounds.count"),
        ("{count: 2, arms: []}", "rounds.arms"),
        ("{count: 2, arms: [nobody]}", "rounds.arms: unknown arm 'nobody'"),
        ("{count: 2, arms: [weak, weak]}", "rounds.arms: weak is named twice"),
        ("{count: 2, arms: [weak], num_responses: 1}", "rounds.num_responses"),
        ("{count: 2, arms: [weak], selection: best_worst}", "scorer: required"),
        ("{count: 2, arms: [weak], scorer: synthetic_checker}", "scorer: unused"),
    ],
)
def test_rounds_that_cannot_work_are_errors_of_the_study(tiny_study: str, rounds: str, error: str) -> None:
    with pytest.raises(StudyError, match=error):
        Study.parse(f"{tiny_study}\nrounds: {rounds}")


def test_an_arm_that_needs_human_labels_has_no_later_round(tiny_study: str) -> None:
    study = Study.parse(tiny_study + ROUNDS.format(more="").replace("[weak]", "[flipped]"))
    with pytest.raises(StudyError, match="the labels of flipped need human labels"):
        build_plan(study)


def test_a_round_uses_new_prompts_of_a_file_and_none_of_test_pairs(
    tiny_study: str, finished_run: Path, tmp_path: Path, runtime: Runtime, notices: list[str]
) -> None:
    index = read_index(finished_run)
    known = [load_split_pairs(open_stage(finished_run, index.split), name)[0] for name in ("test", "labeled")]
    new = [f"Count to {number}." for number in range(4)]
    rows = [*new, new[0], "", *(f" {pair.prompt[0].content.upper()}" for pair in known)]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows), encoding="utf-8")
    more = f", num_prompts: 3, prompts: {{kind: file, path: {prompts}}}"
    stage = build_plan(Study.parse(tiny_study + ROUNDS.format(more=more))).rounds["weak.round-2"].pairs
    artifacts = {
        each.fingerprint: open_stage(finished_run, index.stage_with_fingerprint(each.fingerprint))
        for each in stage.input_stages.values()
    }
    sampled = Store(tmp_path).get_or_create(
        stage.name, stage.recipe, lambda draft: stage.run(draft, artifacts, runtime)
    )
    facts = sampled.record["facts"]
    assert (facts["prompts"], facts["unusable_prompts"], facts["responses"]) == (3, 2, 6)
    pairs = load_split_pairs(sampled, "unlabeled")
    assert {pair.prompt[0].content for pair in pairs} < set(new)
    assert len(pairs) == 3 - sum(facts["skipped"].values()) - facts["too_long"]
    assert bool(facts["skipped"]) == any("prompts without a pair" in notice for notice in notices)


def test_the_responses_of_a_round_end_before_the_stop_texts_of_the_study(tiny_study: str) -> None:
    plain = build_plan(Study.parse(tiny_study + ROUNDS.format(more=""))).rounds["weak.round-2"].pairs
    study = Study.parse(tiny_study + ROUNDS.format(more=""), ['generation.stop=["User:"]'])
    stopped = build_plan(study).rounds["weak.round-2"].pairs
    assert "stop" not in plain.settings
    assert stopped.settings["stop"] == ["User:"]
    assert stopped.fingerprint != plain.fingerprint


def test_the_labels_of_a_later_round_have_a_file(rounds_run: Path) -> None:
    rows = pq.read_table(rounds_run / "labels" / "weak.round-2.parquet").to_pylist()
    pairs = {pair.id: pair for pair in round_pairs(rounds_run, "weak.round-2")}
    assert {row["id"] for row in rows} == set(pairs)
    for row in rows:
        assert row["annotator"] == "implicit_reward"
        assert {row["response_1"], row["response_2"]} == {pairs[row["id"]].a, pairs[row["id"]].b}
    assert "weak.round-2" in read_index(rounds_run).label_files
