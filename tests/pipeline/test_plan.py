"""A plan shares equal stages, and a changed setting affects the stages that depend on it and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.dry_run import REASON_STALE, plan_dry_run
from trimtab.pipeline.plan import NO_HUMAN_LABELS, Plan, RowStages, build_plan, sort_stages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.record import write_record

# Identified by its pinned hash: a plan neither downloads nor reads it.
YAML = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
scorers: {checker: synthetic_checker}
arms: {x: {annotator: {kind: length, tie_threshold: 1}, dpo: {beta: 0.2}}}
"""
ROWS = ["base", "sft", "human", "weak", "flipped", "x", "weak_model"]
BELOW_TRAINING = {"kl.x", "dpo.x", "logprobs.x", "generate.x", "score.x.checker"}


def planned(*changes: str, human_on_unlabeled: bool = True) -> Plan:
    return build_plan(Study.parse(YAML, changes), human_on_unlabeled=human_on_unlabeled)


def row(plan: Plan, name: str) -> RowStages:
    return next(row for row in plan.rows if row.name == name)


def fingerprint(stage: Stage | None) -> str:
    assert stage is not None
    return stage.fingerprint


def by_name(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.fingerprint for stage in plan.stages}


def changed_by(*changes: str) -> set[str]:
    """The names of the stages that these changes invalidate."""
    before, after = by_name(planned()), by_name(planned(*changes))
    return {name for name in after if after[name] != before.get(name)}


def test_every_study_has_the_reference_rows_around_its_own() -> None:
    assert [row.name for row in planned().rows] == ROWS
    assert [row.name for row in planned("training.sft=null").rows] == [name for name in ROWS if name != "sft"]


def test_the_same_study_has_the_same_stages() -> None:
    assert by_name(planned()) == by_name(planned())


def test_every_stage_comes_once_and_after_its_inputs() -> None:
    seen: list[str] = []
    for stage in planned("arms.y.annotator={kind: noisy_human, arm: x}").stages:
        assert {source.fingerprint for source in stage.input_stages.values()} <= set(seen)
        seen.append(stage.fingerprint)
    assert len(seen) == len(set(seen))


def test_an_arm_equal_to_another_adds_no_stage() -> None:
    twice = planned("arms.y={annotator: {kind: length, tie_threshold: 1}, dpo: {beta: 0.2}}")
    assert len(twice.stages) == len(planned().stages)
    for part in ("labels", "training", "policy_logprobs", "reference_logprobs", "completions"):
        assert fingerprint(getattr(row(twice, "y"), part)) == fingerprint(getattr(row(twice, "x"), part))


def test_arms_that_differ_in_their_loss_share_their_labels() -> None:
    plan = planned("arms.y={annotator: {kind: length, tie_threshold: 1}, dpo: {beta: 0.7}}")
    assert fingerprint(row(plan, "x").labels) == fingerprint(row(plan, "y").labels)
    assert fingerprint(row(plan, "x").training) != fingerprint(row(plan, "y").training)


def test_a_weak_model_equal_to_the_student_is_tuned_once() -> None:
    plan = planned("models.weak=smollm2-135m-instruct")
    assert [stage.kind for stage in plan.stages].count("sft") == 1
    assert [stage.kind for stage in planned().stages].count("sft") == 2


@pytest.mark.parametrize("changes", [(), ("training.sft=null",)])
def test_a_weak_model_equal_to_the_student_shares_its_reference_logprobs(changes: tuple[str, ...]) -> None:
    plan = planned("models.weak=smollm2-135m-instruct", *changes)
    assert fingerprint(row(plan, "x").reference_logprobs) == fingerprint(row(plan, "weak_model").reference_logprobs)
    plan = planned(*changes)
    assert fingerprint(row(plan, "x").reference_logprobs) != fingerprint(row(plan, "weak_model").reference_logprobs)


def test_a_changed_beta_changes_only_the_stages_below_it() -> None:
    assert changed_by("arms.x.dpo.beta=0.3") == BELOW_TRAINING


def test_an_explicit_default_changes_nothing() -> None:
    assert changed_by("arms.x.dpo.label_smoothing=0.0", "seed=22", "generation.temperature=0.7") == set()


def test_sampling_changes_responses_and_their_metrics_alone() -> None:
    assert {name.split(".")[0] for name in changed_by("generation.temperature=0")} == {"generate", "score", "kl"}


def test_another_seed_of_the_data_changes_everything() -> None:
    assert changed_by("data.seed=1") == set(by_name(planned()))


def test_relabeling_does_not_change_the_reference_logprobs() -> None:
    assert changed_by("arms.x.annotator.tie_threshold=5") == {"annotate.x", *BELOW_TRAINING}
    before, after = row(planned(), "x"), row(planned("arms.x.annotator.tie_threshold=5"), "x")
    assert fingerprint(before.reference_logprobs) == fingerprint(after.reference_logprobs)


def test_sft_on_each_arms_chosen_responses_gives_each_arm_its_own_sft_and_reference() -> None:
    plan = planned("training.sft_data=arm_chosen")
    references = {fingerprint(row.reference_logprobs) for row in plan.rows if row.labels is not None}
    assert len(references) == 4
    shared = {fingerprint(row.reference_logprobs) for row in planned().rows if row.labels is not None}
    assert len(shared) == 1


def test_arms_that_need_human_labels_are_skipped_without_them_with_a_reason() -> None:
    plan = planned("arms.y.annotator={kind: noisy_human, noise_rate: 0.2}", human_on_unlabeled=False)
    assert {row.name: row.skipped for row in plan.rows if row.skipped} == dict.fromkeys(
        ("human", "flipped", "y"), NO_HUMAN_LABELS
    )
    assert not any(stage.name.endswith((".human", ".flipped", ".y")) for stage in plan.stages)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["arms.x.annotator={kind: noisy_human, arm: y}"],
            "arms.x.annotator: there is no arm 'y' (there are: human, weak, flipped, x)",
        ),
        (["arms.x.annotator={kind: noisy_human, arm: x}"], "arms.x: its labels depend on themselves, through x"),
        (
            ["arms.x.annotator={kind: noisy_human, arm: y}", "arms.y.annotator={kind: noisy_human, arm: x}"],
            "arms.x: its labels depend on themselves, through x → y",
        ),
        (
            ["arms.x.annotator={kind: implicit_reward, policy: '@wek'}"],
            "arms.x.annotator: no model '@wek' is trained (there are: @weak, @weak.sft)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@wek'}"],
            "arms.x.annotator.weak: no model '@wek' is trained (there are: @weak, @weak.sft, @weak.base, "
            "@weak.preference_model, @student, @student.sft, @ARM.preference_model)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@y.preference_model'}"],
            "arms.x.annotator.weak: there is no arm 'y' (there are: human, weak, flipped, x)",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@x.preference_model'}"],
            "arms.x: its labels depend on themselves, through x",
        ),
        (
            [
                "arms.x.annotator={kind: prompted, weak: '@y.preference_model'}",
                "arms.y.annotator={kind: debate, weak: '@x.preference_model'}",
            ],
            "arms.x: its labels depend on themselves, through x → y",
        ),
        (
            ["arms.x.annotator=probe", "arms.x.calibration={}", "arms.x.filter=certified"],
            "arms.x: certified needs the annotator's own probabilities; remove calibration",
        ),
        (
            ["arms.x.annotator={kind: prompted, weak: '@human.preference_model'}", "arms.x.calibration={}"],
            "arms.x.annotator.weak: @human.preference_model is trained on labels of the unlabeled pairs, which cannot be held "
            "out, so its label quality cannot be measured on the labeled pairs; remove what requires that (calibration, "
            "or a filter that learns)",
        ),
    ],
)
def test_labels_that_cannot_be_planned_are_an_error_that_names_the_arm(changes: list[str], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        planned(*changes)
    assert str(caught.value) == message


def test_a_weak_preference_model_is_trained_on_the_prompt_of_its_annotator() -> None:
    plan = planned(
        "arms.naive={annotator: {kind: prompted, weak: '@weak.preference_model'}}",
        "arms.digits={annotator: {kind: prompted, answer_format: digit, weak: '@weak.preference_model'}}",
        "arms.debate={annotator: {kind: debate, weak: '@weak.preference_model', strong: '@student'}}",
        "arms.seam={annotator: {kind: seam, weak: '@weak.preference_model', strong: '@student'}}",
    )

    def weak_engine(arm: str) -> Stage:
        labels = row(plan, arm).labels
        assert labels is not None
        return labels.input_stages["engine.weak"]

    assert fingerprint(weak_engine("naive")) == fingerprint(weak_engine("debate"))
    assert "training_task" not in weak_engine("naive").settings
    assert weak_engine("digits").settings["training_task"] == {"answer_format": "digit"}
    assert weak_engine("seam").name == "preference-model.weak-model-seam"
    assert weak_engine("seam").settings["training_task"] == {"kind": "seam"}


SECOND_WEAK_MODEL = (
    "models.weak_models.deep={base: smollm2-135m-instruct, layers: 8}",
    "arms.deep_labels={annotator: {kind: implicit_reward, policy: '@deep', reference: '@deep.sft'}}",
)


def test_an_arm_can_be_labeled_by_another_weak_model_of_the_study() -> None:
    plan, alone = planned(*SECOND_WEAK_MODEL), planned()
    labels = row(plan, "deep_labels").labels
    assert labels is not None
    policy, reference = (labels.input_stages[f"logprobs.{name}"] for name in ("@deep", "@deep.sft"))
    assert (policy.input_stages["model"].name, reference.input_stages["model"].name) == (
        "dpo.weak-model.deep",
        "sft.weak-model.deep",
    )
    # stages that both studies have are the same, and the new ones are those of the new model and the new arm
    new = set(by_name(plan).items()) - set(by_name(alone).items())
    assert set(by_name(alone).items()) < set(by_name(plan).items())
    assert {name for name, _ in new if "deep_labels" not in name} == {
        "sft.weak-model.deep",
        "dpo.weak-model.deep",
        "logprobs.weak-model.deep",
        "logprobs.weak-model.deep-sft",
    }


def test_a_second_weak_model_can_be_prompted_probed_and_held_out_of_folds() -> None:
    plan = planned(
        *SECOND_WEAK_MODEL,
        "arms.deep_labels.calibration={folds: 2}",
        "arms.prompted={annotator: {kind: prompted, weak: '@deep.preference_model'}}",
        "arms.probe={annotator: {kind: probe, model: '@deep.base'}}",
    )
    names = set(by_name(plan))
    assert {"dpo.weak-model.deep.fold-1", "dpo.weak-model.deep.fold-2", "preference-model.weak-model.deep"} <= names
    assert "probe" in plan.supervised_arms
    assert "dpo.weak-model.fold-1" not in names


@pytest.mark.parametrize("name", ["weak", "student", "flipped", "x"])
def test_a_weak_model_has_a_name_that_nothing_else_has(name: str) -> None:
    with pytest.raises(StudyError, match=rf"models\.weak_models\.{name}: an arm or a model of the study has this name"):
        planned(f"models.weak_models.{name}=smollm2-135m-instruct")


def test_pairs_must_be_short_enough_for_every_weak_models_tokenizer() -> None:
    same, other = planned(*SECOND_WEAK_MODEL), planned("models.weak_models.gemma=gemma3-270m")
    assert same.split.fingerprint == planned().split.fingerprint
    assert set(other.split.external_hashes) - set(same.split.external_hashes) == {"tokens.gemma"}


TWO_ROUNDS = (
    "arms.half={annotator: human, filter: {kind: subset, fraction: 0.5}, labels_only: true}",
    "arms.by={annotator: {kind: prompted, weak: '@half.preference_model'}, filter: {kind: complement, arm: half}}",
)


def engine_of(plan: Plan, arm: str) -> Stage:
    """The stage that trained the model that labels an arm with a filter."""
    labels = row(plan, arm).labels
    assert labels is not None
    return labels.input_stages["labels"].input_stages["engine.weak"]


def test_a_student_trained_on_an_arms_labels_labels_another_arm() -> None:
    plan = planned(*TWO_ROUNDS)
    student = engine_of(plan, "by")
    assert (student.name, student.kind) == ("preference-model.half", "preference_model")
    assert fingerprint(student.input_stages["labels"]) == fingerprint(row(plan, "half").labels)
    assert student.recipe.inputs["model"] == row(plan, "by").training.input_stages["model"].recipe.inputs["model"]  # type: ignore[union-attr]
    other_prompt = planned(*TWO_ROUNDS, "arms.by.annotator.answer_format=digit")
    assert engine_of(other_prompt, "by").name == "preference-model.half-prompted"
    assert engine_of(other_prompt, "by").settings["training_task"] == {"answer_format": "digit"}


def test_the_arm_whose_labels_train_a_preference_model_has_settings_for_it() -> None:
    own = planned(*TWO_ROUNDS, "arms.half.preference_model={num_train_epochs: 3}")
    assert engine_of(own, "by").settings["recipe"]["num_train_epochs"] == 3
    message = r"arms\.x\.preference_model: unused, since training\.objective is dpo, .*prompts @x\.preference_model"
    with pytest.raises(StudyError, match=message):
        planned(*TWO_ROUNDS, "arms.x.preference_model={num_train_epochs: 3}")
    with pytest.raises(StudyError, match=r"arms\.half: labels_only is true, so its training settings are unused"):
        planned(*TWO_ROUNDS, "arms.half.dpo={beta: 0.3}")


def test_a_preference_model_that_two_arms_share_has_both_names() -> None:
    plan = planned(
        *TWO_ROUNDS,
        TWO_ROUNDS[0].replace("arms.half", "arms.other"),
        TWO_ROUNDS[1].replace("half", "other").replace("arms.by", "arms.too"),
    )
    by_stage_name = {stage.name: stage.fingerprint for stage in plan.preference_models}
    assert by_stage_name["preference-model.half"] == by_stage_name["preference-model.other"]


def finished(plan: Plan, folder: Path, runtime: Runtime, without: set[str]) -> None:
    """Runs the split, and writes records for the other stages except those named."""
    facts = dict.fromkeys(("tokens", "examples", "pairs", "prompts", "comparisons"), 9)
    store = Store(folder)
    store.get_or_create("split", plan.split.recipe, lambda draft: plan.split.execute(draft, {}, runtime))
    for stage in plan.stages:
        if stage.name not in without:
            store.get_or_create(stage.name, stage.recipe, lambda draft: facts)


@pytest.mark.parametrize(
    ("without", "stale"),
    [
        ({"annotate.by"}, {"filter.by", "dpo.by", "logprobs.by", "generate.by", "score.by.checker", "kl.by"}),
        # labels without an engine are the same when they are regenerated
        ({"annotate.x"}, set()),
        # killed while stages were being deleted
        (
            {"annotate.by", "filter.by"},
            {"dpo.by", "logprobs.by", "generate.by", "score.by.checker", "kl.by"},
        ),
        (set(), set()),
    ],
)
def test_artifacts_that_depend_on_regenerated_labels_are_regenerated(
    tmp_path: Path, runtime: Runtime, without: set[str], stale: set[str]
) -> None:
    plan = planned(*TWO_ROUNDS)
    finished(plan, tmp_path, runtime, without)
    assert {stage.name for stage in find_stale_stages(plan.stages, Store(tmp_path))} == stale
    rows = {row.stage: row for row in plan_dry_run(Study.parse(YAML, TWO_ROUNDS), tmp_path)}
    assert {name for name, row in rows.items() if row.state != "done"} == stale | without
    assert {(row.state, row.reason) for row in rows.values() if row.stage in stale} <= {("to run", REASON_STALE)}


def test_if_students_are_preference_models_the_labeling_one_is_the_arms_own_student() -> None:
    plan = planned(
        *TWO_ROUNDS,
        "training.objective=preference_model",
        "scorers={}",
        "arms.half.labels_only=false",
        "arms.x.dpo=null",
    )
    assert fingerprint(engine_of(plan, "by")) == fingerprint(row(plan, "half").training)


def test_labels_by_a_student_of_human_labels_need_human_labels() -> None:
    plan = planned("arms.by={annotator: {kind: prompted, weak: '@human.preference_model'}}", human_on_unlabeled=False)
    assert row(plan, "by").skipped == NO_HUMAN_LABELS


def test_stages_are_sorted_by_their_inputs_in_any_order_of_the_targets() -> None:
    stages = planned().stages
    assert {stage.fingerprint for stage in sort_stages(reversed(stages))} == set(by_name(planned()).values())
    assert sort_stages(reversed(stages))[0].kind == "split"


def test_the_studys_seed_determines_the_split_unless_the_split_has_its_own() -> None:
    by_study = [planned(f"seed={seed}").split.fingerprint for seed in (1, 2)]
    assert by_study[0] != by_study[1]
    own = [planned(f"seed={seed}", "split.seed=5").split.fingerprint for seed in (1, 2)]
    assert own[0] == own[1]


def test_a_source_inside_a_source_is_part_of_the_splits_identity_and_of_the_yaml() -> None:
    excluded = "[{kind: starter, limit: 5, seed: %d}]"
    nested = f"data={{kind: exclude, source: {{kind: starter, limit: 40}}, exclude_prompts_from: {excluded}}}"
    splits = [planned(nested % seed).split.fingerprint for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]
    study = Study.parse(YAML, [nested % 1])
    assert Study.parse(study.to_yaml()) == study


PREFERENCE_STUDENTS = (
    "training.objective=preference_model",
    "scorers={}",
    "arms.x={annotator: {kind: prompted, weak: '@weak.base'}}",
    "arms.y={annotator: {kind: debate, weak: '@weak.base', rounds: 1}}",
)


def seconds(text: str, folder: Path, *changes: str) -> dict[str, float | None]:
    return {row.stage: row.seconds for row in plan_dry_run(Study.parse(text, [*PREFERENCE_STUDENTS, *changes]), folder)}


def test_prompted_labels_and_preference_models_have_a_rough_estimate(tiny_study: str, tmp_path: Path) -> None:
    once, more = seconds(tiny_study, tmp_path), seconds(tiny_study, tmp_path, "split.max_unlabeled=20")
    longer = seconds(tiny_study, tmp_path, "training.preference_model.num_train_epochs=3")
    for stage in ("annotate.x", "preference-model.x", "predict.x"):
        assert once[stage] is not None
    assert more["annotate.x"] == pytest.approx(2 * (once["annotate.x"] or 0))
    assert more["preference-model.x"] == pytest.approx(2 * (once["preference-model.x"] or 0))
    assert longer["preference-model.x"] == pytest.approx(3 * (once["preference-model.x"] or 0))
    assert more["predict.x"] == once["predict.x"]


def test_the_weak_model_is_evaluated_in_both_orders_like_the_students_whatever_the_order_of_its_labels() -> None:
    def stages(order: str) -> dict[str, str]:
        weak = f"arms.weak.annotator={{kind: prompted, weak: '@weak.base', presentation_order: {order}}}"
        return by_name(build_plan(Study.parse(YAML, [*PREFERENCE_STUDENTS, weak])))

    both, random = stages("both"), stages("random")
    assert both["annotate.weak"] != random["annotate.weak"]
    assert both["predict.weak_model"] == random["predict.weak_model"]


def test_there_is_no_estimate_for_models_that_generate_before_they_answer(tiny_study: str, tmp_path: Path) -> None:
    estimates = seconds(tiny_study, tmp_path, "arms.x.annotator.max_reasoning_tokens=9")
    assert estimates["annotate.x"] is None
    assert estimates["annotate.y"] is None


def test_a_debate_is_estimated_by_the_seconds_per_pair_of_the_last_one(
    tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    stages = build_plan(Study.parse(tiny_study, PREFERENCE_STUDENTS)).stages
    stage = replace(next(stage for stage in stages if stage.name == "annotate.y"), execute=lambda *_: {"pairs": 10})
    inputs = {source.fingerprint: Artifact(folder=tmp_path, record={}) for source in stage.input_stages.values()}
    artifact = Store(tmp_path).get_or_create(stage.name, stage.recipe, lambda draft: stage.run(draft, inputs, runtime))
    record = json.loads((artifact.folder / "record.json").read_text())
    write_record(artifact.folder, record | {"seconds": 50.0})
    estimates = seconds(tiny_study, tmp_path, "arms.y.annotator.max_argument_tokens=9", "split.max_unlabeled=20")
    assert estimates["annotate.y"] == pytest.approx(100)
