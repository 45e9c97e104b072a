"""Studies that share a store: the second one computes only what differs, and its folder is complete by itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.executor import RunResult, run_study
from trimtab.pipeline.plan import build_plan
from trimtab.report.write_report import write_report
from trimtab.storage.shared_store import SharedStore
from trimtab.workflows.study_plan import StudyPlan, summarize_plans
from trimtab.workflows.study_runs import VARIANT_STORE, list_study_runs
from trimtab.workflows.verify import verify_run

# The weak model's labels under another name, and other labels under theirs.
RENAMED = ["arms.again={annotator: implicit_reward}", "arms.weak={annotator: length}"]
# The weak model does not depend on the DPO of students.
SEPARATE = "training.weak_dpo={batch_size: 6, learning_rate: 1.0e-3, lora_r: 2}"


def execute(study: Study, folder: Path, runtime: Runtime, store: Path | None) -> RunResult:
    shared = None if store is None else SharedStore(store)
    return run_study(study, folder, runtime, lambda number, total, name: None, shared)


def stage_names(folders: tuple[str, ...]) -> set[str]:
    return {folder.rpartition("-")[0] for folder in folders}


def test_a_second_study_computes_only_what_differs_and_is_complete_by_itself(
    tiny_study: str, finished_run: Path, tmp_path: Path, runtime: Runtime
) -> None:
    store, one, two = tmp_path / "store", shutil.copytree(finished_run, tmp_path / "one"), tmp_path / "two"
    assert execute(Study.parse(tiny_study), one, runtime, store).created == ()
    changed = Study.parse(tiny_study, RENAMED)
    planned = StudyPlan.of_study(changed, two, store)
    result = execute(changed, two, runtime, store)
    created, reused = stage_names(result.created), stage_names(result.reused)
    assert {stage.stage for stage in planned.to_run} == created
    assert {"dpo.weak", "generate.weak"} <= created
    # the student `again` is an adapter on an SFT model that the first run calls `sft.student`
    assert {"split", "sft.student", "dpo.weak-model", "dpo.again", "generate.again", "score.again.checker"} <= reused
    shutil.rmtree(store)
    shutil.rmtree(one)
    assert (verify_run(two).problems, verify_run(two).unfinished) == ((), 0)
    assert write_report(two).missing_stages == ()
    assert execute(changed, two, runtime, None).created == ()


PROXY = (
    "scorers.proxy={kind: study_reward_model, model: smollm2-135m-instruct, data: {kind: starter, limit: 9, seed: 5}}"
)
TRAIN_AND_TEST = "data={train: {kind: starter, limit: 60}, test: {kind: starter, limit: 30, seed: 3}}"


@pytest.mark.parametrize(
    ("changes", "shared"), [(["split.test=0.2"], False), ([TRAIN_AND_TEST, "split={labeled: 0.5}"], True)]
)
def test_the_reward_model_of_a_scorer_depends_on_the_split_only_if_one_source_is_split(
    tiny_study: str, changes: list[str], shared: bool
) -> None:
    studies = [Study.parse(tiny_study, [*changes, PROXY, f"split.seed={seed}"]) for seed in (1, 2)]
    plans = [{stage.name: stage.fingerprint for stage in build_plan(study).stages} for study in studies]
    assert plans[0]["split"] != plans[1]["split"]
    assert (plans[0]["study-reward-model.proxy"] == plans[1]["study-reward-model.proxy"]) is shared


def test_several_processes_share_no_store(tiny_study: str, tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(
        StudyError, match="--store: not for a study that several processes train; run it without --store"
    ):
        execute(Study.parse(tiny_study), tmp_path, replace(runtime, world_size=2), tmp_path / "store")


def test_variants_run_in_folders_of_their_own_and_share_a_hidden_store(tiny_study: str, tmp_path: Path) -> None:
    path = tmp_path / "betas.yaml"
    path.write_text(tiny_study + "variants: {low: {}, high: {training: {dpo: {beta: 0.5}}}}\n")
    runs = list_study_runs(path, [SEPARATE], folder=tmp_path / "runs")
    assert [(run.study.name, run.folder.name) for run in runs] == [("tiny-low", "low"), ("tiny-high", "high")]
    assert {run.store for run in runs} == {tmp_path / "runs" / VARIANT_STORE}
    plans: list[StudyPlan] = []
    for run in runs:
        plans.append(StudyPlan.of_study(run.study, run.folder, run.store, plans))
    states = {stage.stage: stage.state for stage in plans[1].stages}
    assert (states["split"], states["sft.student"], states["dpo.weak"]) == ("shared", "shared", "to run")
    total = len(plans[0].to_run) + len(plans[1].to_run)
    assert summarize_plans(plans).startswith(f"2 studies: {total} stages to run, ")
    assert [run.study.name for run in list_study_runs(path, (), ["high"])] == ["tiny-high"]
    assert list_study_runs(path)[0].folder == Path("runs/tiny/low")
    with pytest.raises(StudyError, match=r"--variant tall: unknown variant \(expected one of: low, high\)"):
        list_study_runs(path, (), ["tall"])
