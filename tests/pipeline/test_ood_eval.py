"""Accuracy on pairs of other domains: the same choices, read on pairs that the study does not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab import stats
from trimtab.config.study import Study
from trimtab.errors import DataError
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.collect.report import collect_report
from trimtab.report.run_reader import Run
from trimtab.storage.schemas import load_split_pairs

ELSEWHERE = """
elsewhere:
  sums: {kind: starter, families: [arithmetic], limit: 7}
  own: {kind: starter, limit: 90}
"""
Ran = tuple[Study, Path]


@pytest.fixture(scope="module")
def told(finished_run: Path, tiny_study: str, run_whole: Callable[..., Ran]) -> Ran:
    """The tiny study's folder, run again with two other domains."""
    return run_whole(tiny_study + ELSEWHERE, finished_run)


def test_only_tables_are_made_for_other_domains(told: Ran, finished_run: Path) -> None:
    before = {each.name for each in (finished_run / "stages").iterdir()}
    made = {each.name for each in (told[1] / "stages").iterdir()} - before
    assert {name.split(".")[0] for name in made} == {"pairs", "logprobs"}


def test_accuracy_is_told_of_every_row_that_chooses(told: Ran) -> None:
    report = collect_report(told[1])
    figures = {arm.name: arm.metrics for arm in report.arms}
    for row in ("human", "weak", "flipped", "weak_model"):
        assert figures[row]["accuracy.sums"].n == 7
        assert 0 <= (figures[row]["accuracy.sums"].value or 0) <= 1
    assert "accuracy.sums" not in figures["base"]
    compared = {(each.arm, each.baseline) for each in report.comparisons if each.metric == "accuracy.sums"}
    assert ("weak", "human") in compared


def test_prompts_of_the_study_are_not_another_domain(told: Ran) -> None:
    run = Run(told[1])
    there = run.test_pairs_of_stage(run.ood_stages("weak")["own"]["policy"])
    held = {pair.prompt_id for pair in (*run.labeled, *run.unlabeled, *run.test)}
    assert len(there) == 90 - len(held)
    assert not held & {pair.prompt_id for pair in there}


def test_a_choice_is_the_implicit_reward_of_the_same_tables(told: Ran) -> None:
    from trimtab.storage.schemas import load_logprobs

    run = Run(told[1])
    parts = run.ood_stages("weak")["sums"]
    policy, reference = (load_logprobs(run.artifact(parts[part])) for part in ("policy", "reference"))
    rows = load_arm_values(run)["weak"].values["accuracy.sums"]
    for pair in run.test_pairs_of_stage(parts["policy"]):
        margin = policy[pair.id].a - reference[pair.id].a - policy[pair.id].b + reference[pair.id].b
        assert rows[pair.id] == (0.5 if margin == 0 else float((margin > 0) == (pair.human == "a")))


def test_pairs_of_one_prompt_of_another_domain_are_one_cluster(
    finished_run: Path, tiny_study: str, run_whole: Callable[..., Ran], tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"Which number is larger, {n} or {n + 1}?", "chosen": f"{n + 1}{end}", "rejected": f"{n}{end}"}
        for n in range(901, 905)
        for end in ("", ".")
    ]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    _, folder = run_whole(tiny_study + f"elsewhere: {{twice: {{kind: file, path: {path}}}}}", finished_run)
    run = Run(folder)
    there = run.test_pairs_of_stage(run.ood_stages("weak")["twice"]["policy"])
    assert (len(there), len({run.prompt_ids[pair.id] for pair in there})) == (8, 4)
    values = load_arm_values(run)["weak"].values["accuracy.twice"]
    (weak,) = [arm for arm in collect_report(folder).arms if arm.name == "weak"]
    clusters = [next(pair.prompt_id for pair in there if pair.id == key) for key in values]
    assert weak.metrics["accuracy.twice"] == stats.bounded_mean(list(values.values()), clusters=clusters)


def test_a_domain_that_the_study_holds_whole_is_refused(
    tiny_study: str, finished_run: Path, run_whole: Callable[..., Ran], tmp_path: Path
) -> None:
    test = load_split_pairs(Run(finished_run).split, "test")[0]
    path = tmp_path / "same.jsonl"
    path.write_text(f'{{"prompt": {test.prompt[0].content!r}, "chosen": "yes", "rejected": "no"}}\n'.replace("'", '"'))
    text = tiny_study + f"elsewhere: {{same: {{kind: file, path: {path}}}}}"
    with pytest.raises(DataError, match=r"pairs.same: of 1 pairs none has a human label and a prompt that is not in"):
        run_whole(text, finished_run)


def test_a_plan_has_a_time_for_their_tables(tiny_study: str, finished_run: Path) -> None:
    rows = {row.stage: row for row in plan_dry_run(Study.parse(tiny_study + ELSEWHERE), finished_run)}
    assert rows["logprobs.weak.sums"].seconds is not None
