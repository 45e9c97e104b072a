"""A plan shares equal work, and a changed setting reaches what depends on it and nothing else."""

from __future__ import annotations

import pytest

from trimtab.errors import StudyError
from trimtab.plan import UNLABELED, ArmStages, Plan, ordered, unfold
from trimtab.stages.stage import Stage
from trimtab.study import Study

# Known by its pinned hash: a plan neither fetches nor reads it.
YAML = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
evaluation: {checker: checker}
arms: {x: {annotator: {kind: longest, gap: 1}, dpo: {beta: 0.2}}}
"""
ROWS = ["base", "sft", "human", "weak", "flipped", "x", "weak_model"]
BELOW_TRAINING = {"dpo.x", "logprobs.x", "generate.x", "score.x.checker"}


def planned(*changes: str, human_on_unlabeled: bool = True) -> Plan:
    return unfold(Study.parse(YAML, changes), human_on_unlabeled=human_on_unlabeled)


def row(plan: Plan, name: str) -> ArmStages:
    return next(arm for arm in plan.arms if arm.name == name)


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
    assert [arm.name for arm in planned().arms] == ROWS
    assert [arm.name for arm in planned("training.sft=null").arms] == [name for name in ROWS if name != "sft"]


def test_the_same_study_unfolds_into_the_same_stages() -> None:
    assert by_name(planned()) == by_name(planned())


def test_every_stage_comes_after_what_it_needs_and_once() -> None:
    seen: list[str] = []
    for stage in planned("arms.y.annotator={kind: flip, like: x}").stages:
        assert {need.recipe.fingerprint for need in stage.needs.values()} <= set(seen)
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
    assert {name.split(".")[0] for name in changed_by("generation.temperature=0")} == {"generate", "score"}


def test_another_seed_of_the_data_changes_everything() -> None:
    assert changed_by("data.seed=1") == set(by_name(planned()))


def test_relabeling_leaves_the_reference_table_as_it_is() -> None:
    assert changed_by("arms.x.annotator.gap=5") == {"annotate.x", *BELOW_TRAINING}
    before, after = row(planned(), "x"), row(planned("arms.x.annotator.gap=5"), "x")
    assert fingerprint(before.reference) == fingerprint(after.reference)


def test_targets_of_ones_own_give_each_arm_its_own_sft_and_reference() -> None:
    plan = planned("training.sft_target=own")
    references = {fingerprint(arm.reference) for arm in plan.arms if arm.labels is not None}
    assert len(references) == 4
    shared = {fingerprint(arm.reference) for arm in planned().arms if arm.labels is not None}
    assert len(shared) == 1


def test_arms_that_need_human_labels_are_skipped_without_them_and_say_so() -> None:
    plan = planned("arms.y.annotator={kind: flip, rate: 0.2}", human_on_unlabeled=False)
    assert {arm.name: arm.skipped for arm in plan.arms if arm.skipped} == dict.fromkeys(
        ("human", "flipped", "y"), UNLABELED
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
    ],
)
def test_labels_that_cannot_be_made_are_refused_and_the_arm_is_named(changes: list[str], said: str) -> None:
    with pytest.raises(StudyError) as caught:
        planned(*changes)
    assert str(caught.value) == said


def test_stages_are_ordered_by_what_they_need_however_they_are_asked_for() -> None:
    stages = planned().stages
    assert {stage.recipe.fingerprint for stage in ordered(reversed(stages))} == set(by_name(planned()).values())
    assert ordered(reversed(stages))[0].kind == "split"


def test_the_studys_seed_draws_the_split_unless_the_split_has_its_own() -> None:
    by_study = [planned(f"seed={seed}").split.recipe.fingerprint for seed in (1, 2)]
    assert by_study[0] != by_study[1]
    own = [planned(f"seed={seed}", "split.seed=5").split.recipe.fingerprint for seed in (1, 2)]
    assert own[0] == own[1]
