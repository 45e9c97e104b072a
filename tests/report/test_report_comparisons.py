"""The choice of comparisons, their exact tests, and their display on the page and in the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sample_report import REPORT

from trimtab.config.study import Study
from trimtab.report.collect.arm_values import compute_mean_metric
from trimtab.report.collect.comparisons import build_comparisons, format_p_value, select_main_comparisons
from trimtab.report.model import ArmComparison, ArmResult, Report, report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.terminal.tables import render_report_summary
from trimtab.stats import bounded_mean
from trimtab.types import Metric

STUDIES = Path(__file__).parents[2] / "studies"
ARMS = {
    name: {
        "accuracy": {str(i): float(i < right) for i in range(100)},
        "refusal_rate": {str(i): 0.0 for i in range(100)},
    }
    for name, right in (("sft", 50), ("human", 80), ("one", 60), ("other", 56))
}
REQUESTED = {"one": ("other",), "other": ("nowhere",)}


def render_terminal(report: Report) -> str:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(render_report_summary(report))
    return capture.get()


def test_every_arm_is_compared_with_the_baselines_and_with_requested_arms() -> None:
    pairs = {(each.arm, each.baseline) for each in build_comparisons(ARMS, {}, REQUESTED)}
    common = {(arm, baseline) for baseline in ("sft", "human") for arm in ARMS if arm != baseline}
    assert pairs == common | {("one", "other")}
    assert pairs - {(each.arm, each.baseline) for each in build_comparisons(ARMS, {}, {})} == {("one", "other")}


def test_a_comparison_has_wins_losses_and_an_exact_p_value() -> None:
    comparisons = {(each.arm, each.baseline, each.metric): each for each in build_comparisons(ARMS, {}, REQUESTED)}
    accuracy = comparisons["one", "other", "accuracy"]
    assert (accuracy.wins, accuracy.losses) == (4, 0)
    assert accuracy.p_value == pytest.approx(0.125)
    assert accuracy.difference.value == pytest.approx(0.04)
    assert accuracy.difference.low is not None and accuracy.difference.low <= 0
    assert comparisons["one", "other", "refusal_rate"].p_value is None


def test_side_effects_are_compared_with_sft_and_with_requested_arms() -> None:
    pairs = {
        (each.arm, each.baseline) for each in build_comparisons(ARMS, {}, REQUESTED) if each.metric == "refusal_rate"
    }
    assert pairs == {("human", "sft"), ("one", "sft"), ("other", "sft"), ("one", "other")}


def test_pairs_of_one_prompt_are_swapped_together() -> None:
    rows = {name: {"accuracy": dict.fromkeys("abcdef", value)} for name, value in (("sft", 0.0), ("one", 1.0))}
    (alone,) = [each for each in build_comparisons(rows, {}, {}) if each.arm == "one"]
    (together,) = [
        each for each in build_comparisons(rows, dict(zip("abcdef", "xxyyzz", strict=True)), {}) if each.arm == "one"
    ]
    assert alone.p_value == pytest.approx(2 / 64)
    assert together.p_value == pytest.approx(2 / 8)


def build_report_with_requested_comparison() -> Report:
    arms = tuple(
        ArmResult(name=name, role="arm", compare_with=baselines)
        for name, baselines in (("weak", ()), ("weak_mismatch", ("human_mismatch",)), ("human_mismatch", ()))
    )
    return replace(
        REPORT,
        arms=arms,
        comparisons=(
            *REPORT.comparisons,
            ArmComparison(
                arm="weak_mismatch",
                baseline="human_mismatch",
                metric="gold_reward",
                difference=Metric(value=-0.25, low=-0.375, high=-0.125, n=192),
                wins=31,
                losses=1071,
                p_value=0.0124,
            ),
        ),
    )


def test_the_main_comparisons_are_on_the_page_in_the_terminal_and_in_the_json() -> None:
    report = build_report_with_requested_comparison()
    compared = [(each.arm, each.baseline) for each in select_main_comparisons(report)]
    assert compared == [("weak_mismatch", "human_mismatch"), ("weak", "human")]
    assert report_from_json(report_to_json(report)) == report
    assert report_to_json(report)["comparisons"][-1]["p_value"] == 0.0124
    page, text = render_html(report), render_terminal(report)
    assert "minus human_mismatch" in page and "31 / 1,071" in page and "0.012" in page
    assert "weak_mismatch −0.250 [−0.375, −0.125] ▼ 31 / 1,071 0.012 minus human_mismatch" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_p_values_have_three_decimals() -> None:
    assert [format_p_value(each) for each in (0.125, 0.00004, None, 1.0)] == ["0.125", "< 0.001", "–", "1.000"]


def test_the_match_mismatch_study_requests_its_main_comparisons() -> None:
    study = Study.load(STUDIES / "tao2024" / "tables-1-2-11.yaml")
    requested = {(name, baseline) for name, arm in study.arms.items() for baseline in arm.compare_with}
    assert {
        ("weak_match", "flipped_correct"),
        ("weak_mismatch", "human_mismatch"),
        ("weak_mismatch", "flipped_wrong"),
    } <= requested


@pytest.mark.parametrize("name", ["refusal_rate", "overconfident_error_rate", "accuracy.helpful", "eos_rate"])
def test_a_rate_of_zero_has_an_interval(name: str) -> None:
    values = {str(i): 0.0 for i in range(200)}
    metric = compute_mean_metric(name, values, 3, {})
    assert metric == bounded_mean([0.0] * 200, n_failed=3)
    assert metric.high is not None and metric.high > 0.01
