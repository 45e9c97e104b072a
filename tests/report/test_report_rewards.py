"""What gold rewards are worth stands beside them, and those that the study trained are called proxies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError, StudyError
from trimtab.models.config import Model
from trimtab.report.collect.report import collect_report
from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.label_comparison.metrics import compare_label_sources
from trimtab.report.model import Report, report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.terminal.tables import render_report_summary
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.sources.starter import Starter
from trimtab.starter import compute_gold_reward
from trimtab.types import Completion, Score

Run = Callable[[str], tuple[Study, Path]]
TWO = """
reward_unlabeled: true
prompts: 2
arms: {weak: {annotator: longest, train: false}}
evaluation:
  checker: checker
  own:
    kind: trained_reward
    data: {kind: starter, limit: 60, seed: 5}
    model: {base: MODEL, dtype: float32}
    recipe: {lora_rank: 2, batch_size: 30}
"""


@pytest.fixture(scope="module")
def run(tiny_study: str, tiny_model: Path, run_whole: Run) -> Path:
    text = tiny_study.replace("evaluation: {checker: checker}\n", "") + TWO.replace("MODEL", str(tiny_model))
    return run_whole(text)[1]


@pytest.fixture(scope="module")
def report(run: Path) -> Report:
    return collect_report(run)


def told(report: Report) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(render_report_summary(report))
    return capture.get()


def test_every_reward_stands_beside_its_agreement_with_people(report: Report) -> None:
    found = {each.name: each for each in report.rewards}
    assert {name: (each.kind, each.is_proxy) for name, each in found.items()} == {
        "checker": ("checker", False),
        "own": ("trained_reward", True),
    }
    assert {each.agreement.n + each.agreement.n_failed for each in found.values()} == {6}
    assert found["own"].n_training_pairs > 0


def test_a_trained_reward_that_goes_on_after_a_kill_gives_the_same_rewards(
    run: Path, tiny_model: Path, runtime: Runtime
) -> None:
    from trimtab.report.run_reader import Run as Folder

    folder = Folder(run)
    (reward,) = run.glob("stages/reward.own-*")
    answers = [
        Completion(prompt_id=pair.id, prompt=pair.prompt, text=text, n_tokens=0, finish_reason="end")
        for pair in folder.test
        for text in (pair.a, pair.b, pair.a + pair.b)
    ]
    scorer = StudyRewardModel(data=Starter(limit=60, seed=5), model=Model(base=str(tiny_model), dtype="float32"))
    narrow = replace(runtime, token_budget=300)

    def scored(wanted: set[int]) -> dict[int, Score]:
        return {
            place: score
            for some in scorer.score_with_checkpoint(reward, answers, wanted, narrow)
            for place, score in some.items()
        }

    whole = scored(set(range(len(answers))))
    assert [whole[place].prompt_id for place in range(len(answers))] == [each.prompt_id for each in answers]
    rest = {1, 2, 9, 17}
    assert scored(rest) == {place: whole[place] for place in rest}


def test_the_checkers_agreement_is_that_of_its_own_scores(run: Path, report: Report) -> None:
    from trimtab.report.run_reader import Run as Folder

    right = []
    for pair in Folder(run).test:
        asked = pair.prompt[-1].content
        gap = compute_gold_reward(asked, pair.a) - compute_gold_reward(asked, pair.b)
        right.append(float((gap > 0) == (pair.human == "a")) if gap else 0.5)
    (checker,) = [each for each in report.rewards if each.name == "checker"]
    assert checker.agreement.value == pytest.approx(sum(right) / len(right))
    assert checker.agreement.n == checker.length_baseline.n == checker.gain_over_length.n == len(right)
    assert checker.gain_over_length.value == pytest.approx(
        (checker.agreement.value or 0) - (checker.length_baseline.value or 0)
    )


def test_what_a_reward_is_not_good_for_is_a_note_of_the_report(report: Report) -> None:
    # Six test pairs tell no reward from a coin.
    for each in report.rewards:
        assert each.warnings
        assert set(each.warnings) <= set(report.notes)


def test_a_reward_that_the_study_trained_is_a_proxy_wherever_people_read_and_keeps_its_name_for_programs(
    report: Report,
) -> None:
    assert {"gold_reward.checker", "gold_reward.own"} <= set(report_to_json(report)["arms"]["sft"])
    assert {"gold_reward.checker", "proxy_reward.own"} <= set(relabel_trained_rewards(report).arms[0].metrics)
    for shown in (told(report), render_html(report)):
        assert "Proxy reward (own)" in shown
        assert "Gold reward (own)" not in shown
        assert "Gold reward (checker)" in shown


def test_the_rewards_are_read_back_as_they_were_written(report: Report) -> None:
    document = json.loads(json.dumps(report_to_json(report)))
    assert set(document["rewards"]["own"]["agreement"]) == {"value", "low", "high", "n", "n_failed"}
    assert report_from_json(document) == report


def test_the_rewards_of_labels_are_there_for_the_asking(run: Path) -> None:
    figures: Mapping[str, Any] = (
        compare_label_sources(f"{run}:weak", f"{run}:human", "gold", None, None).subsets["all"].metrics
    )
    assert {"gold_difference.checker", "gold_difference.own"} <= set(figures)
    difference, first, second = (figures[f"gold_{each}.checker"].value for each in ("difference", "preferred", "other"))
    assert difference == pytest.approx(first - second)


def test_a_model_that_gives_no_reward_stops_the_study_before_any_work(
    tiny_study: str, tiny_model: Path, run_whole: Run
) -> None:
    text = tiny_study.replace("{checker: checker}", f"{{gold: {{kind: reward_model, model: {tiny_model}}}}}")
    with pytest.raises(ModelError, match=r"evaluation\.gold: .* is not a reward model: it is a language model without"):
        run_whole(text)


def test_rewards_of_labels_need_somebody_who_gives_them(tiny_study: str) -> None:
    text = tiny_study.replace("evaluation: {checker: checker}", "reward_unlabeled: true")
    with pytest.raises(StudyError, match="reward_unlabeled: there is no scorer under evaluation"):
        Study.parse(text)
