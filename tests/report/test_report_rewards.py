"""Gold rewards, their human agreement, and proxy rewards that the study trains."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
from trimtab.report.run_reader import Run
from trimtab.report.terminal.tables import render_report_summary
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.sources.starter import Starter
from trimtab.starter import compute_gold_reward
from trimtab.types import Completion, Score

RunStudy = Callable[[str], tuple[Study, Path]]
TWO_SCORERS = """
score_unlabeled_pairs: true
num_test_prompts: 2
arms: {weak: {annotator: length, labels_only: true}}
scorers:
  checker: synthetic_checker
  own:
    kind: study_reward_model
    data: {kind: starter, limit: 60, seed: 5}
    model: {base: MODEL, dtype: float32}
    training: {lora_r: 2, batch_size: 30}
"""
ONE_SCORER = "scorers: {checker: synthetic_checker}"


@pytest.fixture(scope="module")
def run_folder(tiny_study: str, tiny_model: Path, run_whole: RunStudy) -> Path:
    assert ONE_SCORER in tiny_study
    text = tiny_study.replace(f"{ONE_SCORER}\n", "") + TWO_SCORERS.replace("MODEL", str(tiny_model))
    return run_whole(text)[1]


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Report:
    return collect_report(run_folder)


def render_terminal(report: Report) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(render_report_summary(report))
    return capture.get()


def test_every_reward_has_its_human_agreement(report: Report) -> None:
    rewards = {reward.name: reward for reward in report.rewards}
    assert {name: (reward.kind, reward.is_proxy) for name, reward in rewards.items()} == {
        "checker": ("synthetic_checker", False),
        "own": ("study_reward_model", True),
    }
    assert {reward.agreement.n + reward.agreement.n_failed for reward in rewards.values()} == {6}
    assert rewards["own"].n_training_pairs > 0


def test_a_trained_reward_model_scores_a_chunk_in_its_order_whatever_its_batches_are(
    run_folder: Path, tiny_model: Path, runtime: Runtime
) -> None:
    (checkpoint,) = run_folder.glob("stages/study-reward-model.own-*")
    completions = [
        Completion(prompt_id=pair.id, prompt=pair.prompt, text=text, n_tokens=0, finish_reason="end")
        for pair in Run(run_folder).test
        for text in (pair.a, pair.b, pair.a + pair.b)
    ]
    scorer = StudyRewardModel(data=Starter(limit=60, seed=5), model=Model(base=str(tiny_model), dtype="float32"))

    def score(selected: Sequence[Completion], budget: int = 300) -> list[Score]:
        ticks: list[int] = []
        score_chunk = scorer.load_checkpoint(checkpoint, replace(runtime, token_budget=budget))
        scores = score_chunk(selected, lambda done=1: ticks.append(done))
        assert (sum(ticks), len(ticks) > 1) == (len(selected), budget == 300)
        return scores

    scores = score(completions)
    assert [each.prompt_id for each in scores] == [each.prompt_id for each in completions]
    assert score(completions) == scores
    values = [[each.value for each in group] for group in (scores, score(completions, 100_000))]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_the_checkers_agreement_is_computed_from_its_scores(run_folder: Path, report: Report) -> None:
    correctness = []
    for pair in Run(run_folder).test:
        question = pair.prompt[-1].content
        margin = compute_gold_reward(question, pair.a) - compute_gold_reward(question, pair.b)
        correctness.append(float((margin > 0) == (pair.human == "a")) if margin else 0.5)
    (checker,) = [reward for reward in report.rewards if reward.name == "checker"]
    assert checker.agreement.value == pytest.approx(sum(correctness) / len(correctness))
    assert checker.agreement.n == checker.length_baseline.n == checker.gain_over_length.n == len(correctness)
    assert checker.gain_over_length.value == pytest.approx(
        (checker.agreement.value or 0) - (checker.length_baseline.value or 0)
    )


def test_warnings_about_a_reward_are_notes_of_the_report(report: Report) -> None:
    # With six test pairs, no reward is significantly different from chance.
    for reward in report.rewards:
        assert reward.warnings
        assert set(reward.warnings) <= set(report.notes)


def test_a_trained_reward_is_a_proxy_for_readers_and_keeps_its_name_in_json(report: Report) -> None:
    assert {"gold_reward.checker", "gold_reward.own"} <= set(report_to_json(report)["arms"]["sft"])
    assert {"gold_reward.checker", "proxy_reward.own"} <= set(relabel_trained_rewards(report).arms[0].metrics)
    for text in (render_terminal(report), render_html(report)):
        assert "Proxy reward (own)" in text
        assert "Gold reward (own)" not in text
        assert "Gold reward (checker)" in text


def test_rewards_round_trip_through_json(report: Report) -> None:
    document = json.loads(json.dumps(report_to_json(report)))
    assert set(document["rewards"]["own"]["agreement"]) == {"value", "low", "high", "n", "n_failed"}
    assert report_from_json(document) == report


def test_label_comparison_uses_the_rewards_of_unlabeled_pairs(run_folder: Path) -> None:
    comparison = compare_label_sources(f"{run_folder}:weak", f"{run_folder}:human", "gold", None, None)
    metrics: Mapping[str, Any] = comparison.subsets["all"].metrics
    assert {"gold_margin.checker", "gold_margin.own"} <= set(metrics)
    margin, chosen, rejected = (metrics[f"gold_{part}.checker"].value for part in ("margin", "chosen", "rejected"))
    assert margin == pytest.approx(chosen - rejected)


def test_a_model_without_a_reward_head_stops_the_study_before_any_work(
    tiny_study: str, tiny_model: Path, run_whole: RunStudy
) -> None:
    text = tiny_study.replace("{checker: synthetic_checker}", f"{{gold: {{kind: reward_model, model: {tiny_model}}}}}")
    with pytest.raises(ModelError, match=r"scorers\.gold: .* is not a reward model: it is a language model without"):
        run_whole(text)


def test_scoring_unlabeled_pairs_needs_a_scorer(tiny_study: str) -> None:
    text = tiny_study.replace(ONE_SCORER, "score_unlabeled_pairs: true")
    with pytest.raises(StudyError, match="score_unlabeled_pairs: requires at least one scorer in scorers"):
        Study.parse(text)
