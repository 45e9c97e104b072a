"""Accuracy on out-of-domain pairs: the same choices, on pairs that are not in the study's own data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab import stats
from trimtab.config.study import Study
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.pipeline.run_index import load_run_index
from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.collect.report import collect_report
from trimtab.report.run_reader import Run
from trimtab.storage.schemas import load_split_pairs

OOD_EVAL = """
ood_eval:
  sums: {kind: starter, families: [arithmetic], limit: 7}
  own: {kind: starter, limit: 90}
"""
Ran = tuple[Study, Path]


@pytest.fixture(scope="module")
def ood_run(finished_run: Path, tiny_study: str, run_whole: Callable[..., Ran]) -> Ran:
    """The tiny study, run again in its folder with two out-of-domain sets."""
    return run_whole(tiny_study + OOD_EVAL, finished_run)


def test_out_of_domain_pairs_need_only_new_tables(ood_run: Ran, finished_run: Path) -> None:
    before = {stage.name for stage in (finished_run / "stages").iterdir()}
    created = {stage.name for stage in (ood_run[1] / "stages").iterdir()} - before
    assert {name.split(".")[0] for name in created} == {"ood-pairs", "logprobs"}


def test_every_row_that_chooses_has_an_out_of_domain_accuracy(ood_run: Ran) -> None:
    report = collect_report(ood_run[1])
    metrics = {arm.name: arm.metrics for arm in report.arms}
    for row in ("human", "weak", "flipped", "weak_model"):
        assert metrics[row]["accuracy.sums"].n == 7
        assert 0 <= (metrics[row]["accuracy.sums"].value or 0) <= 1
    assert "accuracy.sums" not in metrics["base"]
    compared = {(one.arm, one.baseline) for one in report.comparisons if one.metric == "accuracy.sums"}
    assert ("weak", "human") in compared


def test_prompts_of_the_study_are_excluded_from_out_of_domain_pairs(ood_run: Ran) -> None:
    run = Run(ood_run[1])
    ood_pairs = run.test_pairs_of_stage(run.ood_stages("weak")["own"]["policy_logprobs"])
    study_prompts = {pair.prompt_id for pair in (*run.labeled, *run.unlabeled, *run.test)}
    assert len(ood_pairs) == 90 - len(study_prompts)
    assert not study_prompts & {pair.prompt_id for pair in ood_pairs}


def test_an_out_of_domain_choice_is_the_sign_of_the_implicit_reward(ood_run: Ran) -> None:
    from trimtab.storage.schemas import load_logprobs

    run = Run(ood_run[1])
    parts = run.ood_stages("weak")["sums"]
    policy, reference = (load_logprobs(run.artifact(parts[part])) for part in ("policy_logprobs", "reference_logprobs"))
    rows = load_arm_values(run)["weak"].values["accuracy.sums"]
    for pair in run.test_pairs_of_stage(parts["policy_logprobs"]):
        margin = policy[pair.id].a - reference[pair.id].a - policy[pair.id].b + reference[pair.id].b
        assert rows[pair.id] == (0.5 if margin == 0 else float((margin > 0) == (pair.human == "a")))


def test_out_of_domain_pairs_of_one_prompt_are_one_cluster(
    finished_run: Path, tiny_study: str, run_whole: Callable[..., Ran], tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"Which number is larger, {n} or {n + 1}?", "chosen": f"{n + 1}{end}", "rejected": f"{n}{end}"}
        for n in range(901, 905)
        for end in ("", ".")
    ]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    _, folder = run_whole(tiny_study + f"ood_eval: {{twice: {{kind: file, path: {path}}}}}", finished_run)
    run = Run(folder)
    ood_pairs = run.test_pairs_of_stage(run.ood_stages("weak")["twice"]["policy_logprobs"])
    assert (len(ood_pairs), len({run.prompt_ids[pair.id] for pair in ood_pairs})) == (8, 4)
    values = load_arm_values(run)["weak"].values["accuracy.twice"]
    (weak,) = [arm for arm in collect_report(folder).arms if arm.name == "weak"]
    clusters = [next(pair.prompt_id for pair in ood_pairs if pair.id == key) for key in values]
    assert weak.metrics["accuracy.twice"] == stats.bounded_mean(list(values.values()), clusters=clusters)


def test_a_domain_whose_prompts_are_all_in_the_study_is_a_failed_measurement(
    tiny_study: str, finished_run: Path, run_whole: Callable[..., Ran], tmp_path: Path
) -> None:
    test = load_split_pairs(Run(finished_run).split, "test")[0]
    path = tmp_path / "same.jsonl"
    path.write_text(f'{{"prompt": {test.prompt[0].content!r}, "chosen": "yes", "rejected": "no"}}\n'.replace("'", '"'))
    text = tiny_study + f"ood_eval: {{same: {{kind: file, path: {path}}}}}"
    _, folder = run_whole(text, finished_run)
    error = load_run_index(folder).failed_stages["ood-pairs.same"]
    assert "ood-pairs.same: none of the 1 pairs has both a human label and a prompt that is not already in" in error


def test_a_dry_run_estimates_the_time_of_out_of_domain_tables(tiny_study: str, finished_run: Path) -> None:
    rows = {row.stage: row for row in plan_dry_run(Study.parse(tiny_study + OOD_EVAL), finished_run)}
    assert rows["logprobs.weak.sums"].seconds is not None
