"""A plan shares equal work, and a changed setting reaches what depends on it and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.dry_run import REASON_STALE, plan_dry_run
from trimtab.pipeline.plan import NO_HUMAN_LABELS, Plan, RowStages, build_plan, sort_stages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Store

# Known by its pinned hash: a plan neither fetches nor reads it.
YAML = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
evaluation: {checker: checker}
arms: {x: {annotator: {kind: longest, gap: 1}, dpo: {beta: 0.2}}}
"""
ROWS = ["base", "sft", "human", "weak", "flipped", "x", "weak_model"]
BELOW_TRAINING = {"divergence.x", "dpo.x", "logprobs.x", "generate.x", "score.x.checker"}


def planned(*changes: str, human_on_unlabeled: bool = True) -> Plan:
    return build_plan(Study.parse(YAML, changes), human_on_unlabeled=human_on_unlabeled)


def row(plan: Plan, name: str) -> RowStages:
    return next(arm for arm in plan.rows if arm.name == name)


def fingerprint(stage: Stage | None) -> str:
    assert stage is not None
    return stage.recipe.fingerprint


def by_name(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.recipe.fingerprint for stage in plan.stages}


def changed_by(*changes: str) -> set[str]:
    """The names of the stages that these changes make anew."""
    before, after = by_name(planned()), by_name(planned(*changes))
    return {name for name in after if after[name] != before.get(name)}


def test_every_study_has_the_reference_rows_around_its_own() -> None:
    assert [arm.name for arm in planned().rows] == ROWS
    assert [arm.name for arm in planned("training.sft=null").rows] == [name for name in ROWS if name != "sft"]


def test_the_same_study_unfolds_into_the_same_stages() -> None:
    assert by_name(planned()) == by_name(planned())


def test_every_stage_comes_after_what_it_needs_and_once() -> None:
    seen: list[str] = []
    for stage in planned("arms.y.annotator={kind: flip, like: x}").stages:
        assert {need.recipe.fingerprint for need in stage.input_stages.values()} <= set(seen)
        seen.append(stage.recipe.fingerprint)
    assert len(seen) == len(set(seen))


def test_an_arm_equal_to_another_adds_no_stage() -> None:
    twice = planned("arms.y={annotator: {kind: longest, gap: 1}, dpo: {beta: 0.2}}")
    assert len(twice.stages) == len(planned().stages)
    for part in ("labels", "training", "policy", "reference", "completions"):
        assert fingerprint(getattr(row(twice, "y"), part)) == fingerprint(getattr(row(twice, "x"), part))


def test_arms_that_differ_in_their_loss_share_their_labels() -> None:
    plan = planned("arms.y={annotator: {kind: longest, gap: 1}, dpo: {beta: 0.7}}")
    assert fingerprint(row(plan, "x").labels) == fingerprint(row(plan, "y").labels)
    assert fingerprint(row(plan, "x").training) != fingerprint(row(plan, "y").training)


def test_a_weak_model_equal_to_the_student_is_tuned_once() -> None:
    plan = planned("models.weak=smollm2-135m-instruct")
    assert [stage.kind for stage in plan.stages].count("sft") == 1
    assert [stage.kind for stage in planned().stages].count("sft") == 2


def test_a_changed_beta_changes_only_the_stages_below_it() -> None:
    assert changed_by("arms.x.dpo.beta=0.3") == BELOW_TRAINING


def test_a_default_that_is_written_out_changes_nothing() -> None:
    assert changed_by("arms.x.dpo.label_smoothing=0.0", "seed=22", "generation.temperature=0.7") == set()


def test_sampling_changes_answers_and_scores_alone() -> None:
    assert {name.split(".")[0] for name in changed_by("generation.temperature=0")} == {
        "generate",
        "score",
        "divergence",
    }


def test_another_seed_of_the_data_changes_everything() -> None:
    assert changed_by("data.seed=1") == set(by_name(planned()))


def test_relabeling_leaves_the_reference_table_as_it_is() -> None:
    assert changed_by("arms.x.annotator.gap=5") == {"annotate.x", *BELOW_TRAINING}
    before, after = row(planned(), "x"), row(planned("arms.x.annotator.gap=5"), "x")
    assert fingerprint(before.reference_logprobs) == fingerprint(after.reference_logprobs)


def test_targets_of_ones_own_give_each_arm_its_own_sft_and_reference() -> None:
    plan = planned("training.sft_target=own")
    references = {fingerprint(arm.reference_logprobs) for arm in plan.rows if arm.labels is not None}
    assert len(references) == 4
    shared = {fingerprint(arm.reference_logprobs) for arm in planned().rows if arm.labels is not None}
    assert len(shared) == 1


def test_arms_that_need_human_labels_are_skipped_without_them_and_say_so() -> None:
    plan = planned("arms.y.annotator={kind: flip, rate: 0.2}", human_on_unlabeled=False)
    assert {arm.name: arm.skipped for arm in plan.rows if arm.skipped} == dict.fromkeys(
        ("human", "flipped", "y"), NO_HUMAN_LABELS
    )
    assert not any(stage.name.endswith((".human", ".flipped", ".y")) for stage in plan.stages)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["arms.x.annotator={kind: flip, like: y}"],
            "arms.x.annotator: there is no arm 'y' (there are: human, weak, flipped, x)",
        ),
        (["arms.x.annotator={kind: flip, like: x}"], "arms.x: its labels are made from its own, by way of x"),
        (
            ["arms.x.annotator={kind: flip, like: y}", "arms.y.annotator={kind: flip, like: x}"],
            "arms.x: its labels are made from its own, by way of x → y",
        ),
        (
            ["arms.x.annotator={kind: implicit_reward, policy: '@wek'}"],
            "arms.x.annotator: no model '@wek' is trained (there are: @weak, @weak.sft)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@wek'}"],
            "arms.x.annotator.weak: no model '@wek' is trained (there are: @weak, @weak.sft, @weak.base, @weak.preference_model, "
            "@student, @student.sft, @ARM.preference_model)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@y.preference_model'}"],
            "arms.x.annotator.weak: there is no arm 'y' (there are: human, weak, flipped, x)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@x.preference_model'}"],
            "arms.x: its labels are made from its own, by way of x",
        ),
        (
            [
                "arms.x.annotator={kind: prompted, weak: '@y.preference_model'}",
                "arms.y.annotator={kind: debate, weak: '@x.preference_model'}",
            ],
            "arms.x: its labels are made from its own, by way of x → y",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@human.preference_model'}", "arms.x.calibration={}"],
            "arms.x.annotator.weak: @human.preference_model learns from labels of the unlabeled pairs, and none of these is held "
            "out; how good its labels are cannot be told from the labeled pairs, so leave out what asks for that "
            "(calibration, a filter that learns)",
        ),
    ],
)
def test_labels_that_cannot_be_made_are_refused_and_the_arm_is_named(changes: list[str], said: str) -> None:
    with pytest.raises(StudyError) as caught:
        planned(*changes)
    assert str(caught.value) == said


def test_a_weak_model_is_trained_on_the_question_of_those_who_ask_it() -> None:
    plan = planned(
        "arms.naive={annotator: {kind: prompted, weak: '@weak.preference_model'}}",
        "arms.digits={annotator: {kind: prompted, answer: digit, weak: '@weak.preference_model'}}",
        "arms.debate={annotator: {kind: debate, weak: '@weak.preference_model', strong: '@student'}}",
        "arms.seam={annotator: {kind: seam, weak: '@weak.preference_model', strong: '@student'}}",
    )

    def asked(arm: str) -> Stage:
        labels = row(plan, arm).labels
        assert labels is not None
        return labels.input_stages["engine.weak"]

    assert fingerprint(asked("naive")) == fingerprint(asked("debate"))
    assert "exam" not in asked("naive").settings
    assert asked("digits").settings["exam"] == {"answer": "digit"}
    assert (asked("seam").name, asked("seam").settings["exam"]) == ("preference.weak-model-seam", {"kind": "seam"})


TEACHING = (
    "arms.half={annotator: human, filter: {kind: subset, fraction: 0.5}, train: false}",
    "arms.by={annotator: {kind: prompted, weak: '@half.preference_model'}, filter: {kind: rest, of: half}}",
)


def engine_of(plan: Plan, arm: str) -> Stage:
    """The stage that trained the model which labels for an arm whose labels are filtered."""
    labels = row(plan, arm).labels
    assert labels is not None
    return labels.input_stages["labels"].input_stages["engine.weak"]


def test_a_student_that_learned_to_choose_from_an_arms_labels_labels_for_another() -> None:
    plan = planned(*TEACHING)
    student = engine_of(plan, "by")
    assert (student.name, student.kind) == ("preference.half", "preference")
    assert fingerprint(student.input_stages["labels"]) == fingerprint(row(plan, "half").labels)
    assert student.recipe.inputs["model"] == row(plan, "by").training.input_stages["model"].recipe.inputs["model"]  # type: ignore[union-attr]
    asked_otherwise = planned(*TEACHING, "arms.by.annotator.answer=digit")
    assert engine_of(asked_otherwise, "by").name == "preference.half-prompted"
    assert engine_of(asked_otherwise, "by").settings["exam"] == {"answer": "digit"}


def test_a_teacher_has_settings_of_its_own_for_learning_to_choose() -> None:
    own = planned(*TEACHING, "arms.half.preference={epochs: 3}")
    assert engine_of(own, "by").settings["recipe"]["epochs"] == 3
    with pytest.raises(
        StudyError, match=r"arms\.x\.preference: training\.student is dpo, which reads .*nobody asks @x\.preference"
    ):
        planned(*TEACHING, "arms.x.preference={epochs: 3}")
    with pytest.raises(StudyError, match=r"arms\.half: train is false, so no student reads its settings"):
        planned(*TEACHING, "arms.half.dpo={beta: 0.3}")


def test_a_student_that_two_arms_share_is_known_by_both_names() -> None:
    plan = planned(
        *TEACHING,
        TEACHING[0].replace("arms.half", "arms.other"),
        TEACHING[1].replace("half", "other").replace("arms.by", "arms.too"),
    )
    known = {stage.name: stage.recipe.fingerprint for stage in plan.preference_models}
    assert known["preference.half"] == known["preference.other"]


def finished(plan: Plan, folder: Path, runtime: Runtime, without: set[str]) -> None:
    """The split, and records of all other stages of the plan but some."""
    facts = dict.fromkeys(("tokens", "examples", "pairs", "prompts", "contests"), 9)
    store = Store(folder)
    store.get_or_create("split", plan.split.recipe, lambda draft: plan.split.execute(draft, {}, runtime))
    for stage in plan.stages:
        if stage.name not in without:
            store.get_or_create(stage.name, stage.recipe, lambda draft: facts)


@pytest.mark.parametrize(
    ("without", "old"),
    [
        ({"annotate.by"}, {"filter.by", "dpo.by", "logprobs.by", "generate.by", "score.by.checker", "divergence.by"}),
        # labels that nobody was asked for come out as they were
        ({"annotate.x"}, set()),
        # a kill in the middle of taking away
        (
            {"annotate.by", "filter.by"},
            {"dpo.by", "logprobs.by", "generate.by", "score.by.checker", "divergence.by"},
        ),
        (set(), set()),
    ],
)
def test_what_was_made_from_labels_that_are_asked_for_anew_is_made_anew(
    tmp_path: Path, runtime: Runtime, without: set[str], old: set[str]
) -> None:
    plan = planned(*TEACHING)
    finished(plan, tmp_path, runtime, without)
    assert {stage.name for stage in find_stale_stages(plan.stages, Store(tmp_path))} == old
    rows = {row.stage: row for row in plan_dry_run(Study.parse(YAML, TEACHING), tmp_path)}
    assert {name for name, row in rows.items() if row.state != "done"} == old | without
    assert {(row.state, row.reason) for row in rows.values() if row.stage in old} <= {("to run", REASON_STALE)}


def test_where_students_learn_to_choose_the_one_that_labels_is_the_arms_own() -> None:
    plan = planned(*TEACHING, "training.student=preference", "evaluation={}", "arms.half.train=true", "arms.x.dpo=null")
    assert fingerprint(engine_of(plan, "by")) == fingerprint(row(plan, "half").training)


def test_labels_by_a_student_of_human_labels_need_human_labels() -> None:
    plan = planned("arms.by={annotator: {kind: prompted, weak: '@human.preference_model'}}", human_on_unlabeled=False)
    assert row(plan, "by").skipped == NO_HUMAN_LABELS


def test_stages_are_ordered_by_what_they_need_however_they_are_asked_for() -> None:
    stages = planned().stages
    assert {stage.recipe.fingerprint for stage in sort_stages(reversed(stages))} == set(by_name(planned()).values())
    assert sort_stages(reversed(stages))[0].kind == "split"


def test_the_studys_seed_draws_the_split_unless_the_split_has_its_own() -> None:
    by_study = [planned(f"seed={seed}").split.recipe.fingerprint for seed in (1, 2)]
    assert by_study[0] != by_study[1]
    own = [planned(f"seed={seed}", "split.seed=5").split.recipe.fingerprint for seed in (1, 2)]
    assert own[0] == own[1]


def test_a_source_within_a_source_bears_on_the_split_and_survives_its_yaml() -> None:
    within = "data={kind: without, of: {kind: starter, limit: 40}, prompts_of: [{kind: starter, limit: 5, seed: %d}]}"
    splits = [planned(within % seed).split.recipe.fingerprint for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]
    study = Study.parse(YAML, [within % 1])
    assert Study.parse(study.to_yaml()) == study


CHOOSING = (
    "training.student=preference",
    "evaluation={}",
    "arms.x={annotator: {kind: prompted, weak: '@weak.base'}}",
    "arms.y={annotator: {kind: debate, weak: '@weak.base', rounds: 1}}",
)


def seconds(text: str, folder: Path, *changes: str) -> dict[str, float | None]:
    return {row.stage: row.seconds for row in plan_dry_run(Study.parse(text, [*CHOOSING, *changes]), folder)}


def test_a_rough_length_is_told_of_what_is_asked_directly_and_of_learning_to_choose(
    tiny_study: str, tmp_path: Path
) -> None:
    once, more = seconds(tiny_study, tmp_path), seconds(tiny_study, tmp_path, "split.max_unlabeled=20")
    longer = seconds(tiny_study, tmp_path, "training.preference.epochs=3")
    for stage in ("annotate.x", "preference.x", "predict.x"):
        assert once[stage] is not None
    assert more["annotate.x"] == pytest.approx(2 * (once["annotate.x"] or 0))
    assert more["preference.x"] == pytest.approx(2 * (once["preference.x"] or 0))
    assert longer["preference.x"] == pytest.approx(3 * (once["preference.x"] or 0))
    assert more["predict.x"] == once["predict.x"]


def test_nothing_is_guessed_of_models_that_write_before_they_are_asked(tiny_study: str, tmp_path: Path) -> None:
    thinks = seconds(tiny_study, tmp_path, "arms.x.annotator.reasoning_tokens=9")
    assert thinks["annotate.x"] is None
    assert thinks["annotate.y"] is None


def test_a_debate_takes_as_long_a_pair_as_the_last_one_took(tiny_study: str, tmp_path: Path) -> None:
    (stage,) = [each for each in build_plan(Study.parse(tiny_study, CHOOSING)).stages if each.name == "annotate.y"]
    made = Store(tmp_path).get_or_create(stage.name, stage.recipe, lambda draft: {"pairs": 10, "status": {"ok": 10}})
    record = json.loads((made.folder / "record.json").read_text())
    (made.folder / "record.json").write_text(json.dumps(record | {"seconds": 50.0}))
    found = seconds(tiny_study, tmp_path, "arms.y.annotator.max_tokens=9", "split.max_unlabeled=30")
    assert found["annotate.y"] == pytest.approx(150)


SEAM = Path(__file__).parents[2] / "studies" / "seam2025"
DATA_SETS = ("anthropic_hh", "cai_harmless", "harmless", "helpful", "helpsteer", "safe_rlhf")

# A process of its own: the libraries read once whether there is a hub, and where its local copy lies.
OFFLINE = """
import json, sys
from pathlib import Path
from trimtab.data.hub import UnreachableError
from trimtab.forecast import forecast
from trimtab.plan import unfold
from trimtab.study import Study

folder = Path(sys.argv[1])
told = {}
for data in [None, *sorted((folder / "data").glob("*.yaml"))]:
    study = Study.load(folder / "paper.yaml", ["data=" + data.read_text()] if data else [])
    rows = {row.stage: [row.state, row.why] for row in forecast(study, Path(sys.argv[2]))}
    try:
        refused = unfold(study) and ""
    except UnreachableError as error:
        refused = str(error)
    told[data.stem if data else "paper"] = {"rows": rows, "refused": refused}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What SEAM's study plans without a hub, as it stands and with each of its data sets."""
    home = tmp_path_factory.mktemp("home")
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", OFFLINE, str(SEAM), str(home / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return told


def test_every_data_set_of_seam_can_be_planned_before_anything_is_fetched(offline: dict[str, dict[str, Any]]) -> None:
    assert set(offline) == {"paper", *DATA_SETS}
    for told in offline.values():
        assert {tuple(row) for row in told["rows"].values()} == {("to run", "data and weights are fetched first")}
        assert {"split", "annotate.seam", "filter.seam", "preference.human", "predict.weak_model"} <= set(told["rows"])


def test_what_a_run_unfolds_never_has_a_name_in_place_of_its_data(offline: dict[str, dict[str, Any]]) -> None:
    for told in offline.values():
        assert told["refused"].startswith("the dataset cannot be loaded: the hub was not reached")


def test_seams_study_is_about_the_first_of_its_data_sets() -> None:
    study = Study.load(SEAM / "paper.yaml")
    assert study == Study.load(SEAM / "paper.yaml", ["data=" + (SEAM / "data" / "helpful.yaml").read_text()])


def test_seams_two_studies_have_the_same_arms() -> None:
    paper, offline = (Study.load(SEAM / f"{name}.yaml").arms for name in ("paper", "offline"))
    assert list(paper) == list(offline)
    assert {name: type(arm.annotator) for name, arm in paper.items()} == {
        name: type(arm.annotator) for name, arm in offline.items()
    }
    assert {name: arm.filter for name, arm in paper.items()} == {name: arm.filter for name, arm in offline.items()}


def test_the_alignment_scenario_is_one_study() -> None:
    starter = "{kind: starter, limit: 40}"
    study = Study.load(SEAM / "alignment.yaml", [f"data={starter}", f"evaluation.proxy.data={starter}"])
    plan = build_plan(study)
    for teacher in ("naive", "seam", "truth"):
        by = row(plan, f"by_{teacher}")
        assert by.training is not None
        new = by.training.input_stages["labels"]
        student = new.input_stages["labels"].input_stages["engine.weak"]
        assert student.name == f"preference.{teacher}"
        # new pairs: those on which the teacher's labels, once filtered, say nothing
        assert fingerprint(student.input_stages["labels"]) == fingerprint(new.input_stages[f"labels.{teacher}"])
        assert (new.kind, new.settings) == ("filter", {"filter": {"kind": "rest", "of": teacher}})
        assert (by.training.kind, by.training.input_stages["model"].name) == ("dpo", "sft.student")
        assert set(by.verdicts) == {"small"}
        assert by.verdicts["small"].input_stages["theirs"].name == "generate.sft"
        assert row(plan, teacher).skipped
    assert plan.baseline == "sft"
    rests = {fingerprint(row(plan, name).labels.input_stages["labels.truth"]) for name in ("human", "by_truth")}  # type: ignore[union-attr]
    assert len(rests) == 1
