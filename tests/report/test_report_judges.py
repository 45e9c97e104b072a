"""Metrics of judges against values computed by hand, and warnings that follow the intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sample_report import REPORT, metric

from trimtab.errors import DataError
from trimtab.metrics.judge_quality import (
    ON_RESPONSES,
    ON_TEST_PAIRS,
    RaterAgreement,
    compute_first_position_rate,
    compute_human_agreement,
    compute_order_inconsistency,
    compute_rater_agreements,
    compute_vote_agreement,
    compute_vote_agreement_gap,
    compute_weak_agreement,
    count_unparsed_ties,
    queries_one_order,
    summarize_arm_verdicts,
    summarize_criteria,
)
from trimtab.metrics.label_quality import get_choices, get_human_choices, split_by_match
from trimtab.report.collect.report import collect_report
from trimtab.report.model import JudgeInfo, report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.page.sections.judges import build_judge_tables
from trimtab.report.run_reader import Run
from trimtab.report.terminal.tables import render_report_summary
from trimtab.report.text.judge_summary import build_judge_warnings
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import Choice, JudgeChoice, Metric, Outcome, SingleVerdict, Verdict, text_hash

OUTCOMES: dict[tuple[JudgeChoice | None, JudgeChoice | None], Outcome] = {
    ("first", "second"): "win",
    ("second", "first"): "loss",
    ("first", "first"): "tie",
    ("tie", "tie"): "tie",
    (None, "first"): "failed",
}


Choices = tuple[JudgeChoice | None, JudgeChoice | None]
WIN: Choices = ("first", "second")
LOSS: Choices = ("second", "first")
INCONSISTENT: Choices = ("first", "first")
FAILED: Choices = (None, "first")
SAME_TEXT = Verdict(id="same", outcome="tie")


def build_verdict(key: str, forward: JudgeChoice | None, backward: JudgeChoice | None) -> Verdict:
    return Verdict(
        id=key,
        outcome=OUTCOMES[forward, backward],
        forward=SingleVerdict(choice=forward),
        reversed=SingleVerdict(choice=backward, text="eh?"),
    )


def build_verdicts(*choices: Choices) -> dict[str, Verdict]:
    return {f"p{index}": build_verdict(f"p{index}", *each) for index, each in enumerate(choices)}


def own_clusters(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {key: key for key in verdicts}


def test_a_win_rate_counts_ties_half_and_failures_apart() -> None:
    row = summarize_arm_verdicts(
        build_verdicts(WIN, WIN, INCONSISTENT, LOSS, FAILED), dict.fromkeys(("p0", "p1", "p2", "p3", "p4"), 0.0)
    )
    rate = row.metrics["win_rate"]
    assert (rate.value, rate.n, rate.n_failed) == ((2 + 0.5) / 4, 4, 1)
    assert row.counts == {"win": 2, "tie": 1, "loss": 1, "failed": 1}
    # Responses of equal length leave nothing to control for.
    controlled = row.metrics["length_controlled_win_rate"].value
    assert controlled is not None and abs(controlled - 0.625) < 0.05


def test_a_win_rate_due_to_length_is_reduced_clusters() -> None:
    verdicts = build_verdicts(*[WIN] * 12, *[LOSS] * 4)
    length_differences = {key: 40.0 if each.outcome == "win" else -40.0 for key, each in verdicts.items()}
    row = summarize_arm_verdicts(verdicts, length_differences)
    assert row.metrics["win_rate"].value == 0.75
    controlled = row.metrics["length_controlled_win_rate"].value
    assert controlled is not None and controlled < 0.65


def test_inconsistency_is_over_comparisons_parsed_in_both_orders() -> None:
    verdicts = build_verdicts(WIN, INCONSISTENT, INCONSISTENT, ("tie", "tie"), FAILED) | {"same": SAME_TEXT}
    inconsistency = compute_order_inconsistency(verdicts, own_clusters(verdicts))
    assert (inconsistency.value, inconsistency.n, inconsistency.n_failed) == (2 / 4, 4, 1)


def test_position_bias_is_measured() -> None:
    verdicts = build_verdicts(WIN, INCONSISTENT, INCONSISTENT, ("tie", "tie"))
    assert compute_first_position_rate(verdicts, own_clusters(verdicts)).value == 5 / 6


def build_voted_verdict(
    key: str, forward: Sequence[JudgeChoice | None], backward: Sequence[JudgeChoice | None]
) -> Verdict:
    return Verdict(
        id=key,
        outcome="tie",
        forward=SingleVerdict(choice="first", votes=tuple(forward)),
        reversed=SingleVerdict(choice="first", votes=tuple(backward)),
    )


def test_vote_agreement_is_corrected_for_chance() -> None:
    votes = {
        "x": build_voted_verdict("x", ["first", "first", "first"], ["first", "first", "second"]),
        "y": build_voted_verdict(
            "y", ["second", "second", "second"], ["second", "first", None]
        ),  # One half is the majority of two coin flips.
    }
    metrics = compute_vote_agreement(votes, own_clusters(votes))
    assert metrics["vote_agreement"].value == pytest.approx((1 + 2 / 3 + 1 + 1 / 2) / 4)
    # The expected majority is 3/4 for three coin flips, and 3/4 for two.
    majority, chance = (1 + 2 / 3 + 1 + 1 / 2) / 4, 0.75
    assert metrics["self_consistency"].value == pytest.approx((majority - chance) / (1 - chance))


def test_the_gap_in_vote_agreement_is_between_matching_and_mismatching_pairs() -> None:
    match = {"x": build_voted_verdict("x", ["first"] * 4, ["second"] * 4)}
    mismatch = {"y": build_voted_verdict("y", ["first", "second"], ["first", "first", "second"])}
    gap = compute_vote_agreement_gap(match, mismatch, {"x": "x", "y": "y"})["vote_agreement_gap"]
    assert (gap.value, gap.n) == (1 - (1 / 2 + 2 / 3) / 2, 4)
    assert compute_vote_agreement_gap(match, {}, {"x": "x"}) == {}
    assert compute_vote_agreement_gap(match, build_verdicts(WIN), {"x": "x", "p0": "p0"}) == {}


def test_a_judge_with_one_vote_has_no_consistency() -> None:
    assert compute_vote_agreement(build_verdicts(WIN, INCONSISTENT), {"p0": 0, "p1": 1}) == {}


def test_human_agreement_counts_ties_one_half() -> None:
    verdicts = build_verdicts(WIN, LOSS, INCONSISTENT, WIN)
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    metrics = compute_human_agreement(verdicts, human, own_clusters(verdicts))
    assert metrics["human_agreement"].value == (1 + 1 + 0.5 + 0) / 4
    # Agreement on 2 of 4; by chance a·a 2/4·2/4 and b·b 1/4·2/4.
    assert metrics["kappa"].value == pytest.approx((0.5 - 0.375) / (1 - 0.375))


def test_raters_are_compared_in_twos_and_all_together() -> None:
    judges = {"one": build_verdicts(WIN, LOSS, WIN, LOSS), "two": build_verdicts(WIN, LOSS, LOSS, WIN)}
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    agreements = compute_rater_agreements(judges, ON_TEST_PAIRS, own_clusters(judges["one"]), human)
    assert [each.raters for each in agreements] == [
        ("one", "two"),
        ("one", "human"),
        ("two", "human"),
        ("one", "two", "human"),
    ]
    metrics = {each.raters: each.metrics for each in agreements}
    assert metrics["one", "two"]["kappa"].value == 0.0
    assert metrics["one", "human"]["kappa"].value == metrics["one", "human"]["alpha"].value == 1.0
    # 12 values, 6 of each; 2 units with one of three values different: observed 2·(2·1·2/2)/12, expected 2·6·6/(12·11)
    assert metrics["one", "two", "human"]["alpha"].value == pytest.approx(1 - (4 / 12) / (72 / 132))


def test_judges_of_different_ids_are_an_error_that_names_the_ids() -> None:
    two = build_verdicts(WIN, LOSS) | {"other": build_verdict("other", *WIN)}
    with pytest.raises(
        DataError, match=r"judges one and two judged different ids: 2 have a verdict of only one \(other, p2\)"
    ):
        compute_rater_agreements({"one": build_verdicts(WIN, LOSS, WIN), "two": two}, ON_RESPONSES, {})


def build_metrics(inconsistency: Metric, human_agreement: Metric | None = None) -> dict[str, Metric]:
    agreement = {"human_agreement": human_agreement} if human_agreement else {}
    return {"order_inconsistency": inconsistency, **agreement}


def test_a_judge_that_always_picks_the_first_is_unusable() -> None:
    verdicts = build_verdicts(*[INCONSISTENT] * 9)
    inconsistency = compute_order_inconsistency(verdicts, own_clusters(verdicts))
    assert inconsistency.value == 1.0
    (sentence,) = build_judge_warnings("x", build_metrics(inconsistency), 0, 0, 9)
    assert sentence.startswith("Judge x is unusable: it picks the same position in both orders on 1.000 [")
    assert "of 9 comparisons; chance would be one half" in sentence


def test_warnings_about_a_judge_follow_its_intervals() -> None:
    good, unclear, bad = metric(0.2, 0.1), metric(0.45, 0.1), metric(0.7, 0.1)
    assert build_judge_warnings("x", build_metrics(good), 0, 0, 99) == ()
    assert "not significantly different from chance" in build_judge_warnings("x", build_metrics(unclear), 0, 0, 99)[0]
    assert "unusable" in build_judge_warnings("x", build_metrics(bad), 0, 0, 99)[0]
    few = Metric(value=1.0, low=0.14, high=1.0, n=3)
    assert "not significantly different from chance" in build_judge_warnings("x", build_metrics(few), 0, 0, 3)[0]
    single = Metric(value=1.0, low=None, high=None, n=1)
    assert build_judge_warnings("x", build_metrics(single), 0, 0, 1) == (
        "Judge x picks the same position in both orders on 1.000 of 1 comparisons: too few to distinguish it from chance.",
    )
    by_agreement = {
        high: build_judge_warnings("x", build_metrics(good, metric(high, 0.1)), 0, 0, 99) for high in (0.7, 0.55, 0.3)
    }
    assert by_agreement[0.7] == ()
    assert "human agreement of judge x is not significantly different from chance" in by_agreement[0.55][0]
    assert "contradicts human preferences" in by_agreement[0.3][0]


def test_a_judge_with_many_failed_verdicts_has_a_warning() -> None:
    (sentence,) = build_judge_warnings("x", build_metrics(metric(0.2, 0.1)), 30, 0, 99)
    assert sentence == "Judge x gave no valid verdict on 30 of 99 comparisons; its metrics are over the others only."
    assert build_judge_warnings("x", build_metrics(metric(0.2, 0.1)), 10, 0, 99) == ()


def test_judges_round_trip_through_json() -> None:
    verdicts = build_verdicts(WIN, LOSS, INCONSISTENT, FAILED)
    judge = JudgeInfo(
        name="x",
        engine="scripted",
        baseline="sft",
        arms={"weak": summarize_arm_verdicts(verdicts, dict.fromkeys(verdicts, 1.0))},
        metrics=build_metrics(metric(0.2, 0.1)),
        warnings=("Careful.",),
    )
    agreements = compute_rater_agreements({"x": verdicts}, ON_TEST_PAIRS, own_clusters(verdicts), {"p0": "a"})
    assert all(isinstance(agreement, RaterAgreement) for agreement in agreements)
    report = replace(REPORT, judges=(judge,), rater_agreements=tuple(agreements))
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


def build_criterion_verdict(key: str, candidate_first: float, baseline_first: float) -> Verdict:
    """Answers about two criteria: these probabilities of the first response, and always the first response."""
    forward, backward = (
        SingleVerdict(choice="first", criteria={"polite": p, "first": 0.8}, weights={"polite": 1.5, "first": 0.0})
        for p in (candidate_first, baseline_first)
    )
    return Verdict(id=key, outcome="win", forward=forward, reversed=backward)


def test_a_judge_of_criteria_has_a_table_with_a_row_for_each() -> None:
    probabilities = {"p0": (0.9, 0.2), "p1": (0.6, 0.7), "p2": (0.1, 0.5)}
    verdicts = {key: build_criterion_verdict(key, *each) for key, each in probabilities.items()} | {"same": SAME_TEXT}
    human: dict[str, Choice] = {"p0": "a", "p1": "a", "p2": "b", "same": "a"}
    criteria = summarize_criteria(verdicts, verdicts, human, own_clusters(verdicts))
    polite, first = (criteria[name].metrics for name in ("polite", "first"))
    # p1: both orders prefer the first response, and the candidate less than the baseline
    assert (polite["order_inconsistency"].value, first["order_inconsistency"].value) == (1 / 3, 1)
    assert (polite["human_agreement"].value, first["human_agreement"].value) == (2.5 / 4, 0.5)
    judge = JudgeInfo(name="x", engine="scripted", baseline="sft", arms={}, metrics={}, criteria=criteria)
    report = replace(REPORT, judges=(judge,), rater_agreements=())
    _, table = build_judge_tables(report)
    assert table.title == "Judge x: criteria"
    assert [column.title for column in table.columns] == ["Weight", "Position inconsistency", "Human agreement"]
    assert [(row.name, row.cells[0]) for row in table.rows] == [("polite", "1.500"), ("first", "0.000")]
    assert "Judge x: criteria" in render_html(report)
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


def test_the_report_of_a_run_has_warnings_about_its_judge(judged_run: Path) -> None:
    report = collect_report(judged_run)
    (judge,) = report.judges
    assert (judge.name, judge.engine, judge.baseline) == ("says-first", "scripted", "sft")
    assert set(judge.arms) == {"base", "human", "weak", "flipped", "weak_model"}
    for arm in judge.arms.values():
        assert arm.metrics["win_rate"].value == 0.5
        assert (arm.counts["win"], arm.counts["loss"], arm.counts["tie"]) == (0, 0, 6)
    assert judge.metrics["order_inconsistency"].value == judge.metrics["first_position_rate"].value == 1.0
    assert judge.metrics["human_agreement"].value == 0.5
    (warning,) = [note for note in report.notes if "picks the same position" in note]
    assert warning.startswith("Judge says-first is unusable: it picks the same position in both orders on 1.000 [")
    assert warning in render_html(report)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(render_report_summary(report))
    assert "Judge says-first, against sft" in capture.get()
    assert max(map(len, capture.get().splitlines())) <= 80
    assert [each.raters for each in report.rater_agreements] == [("says-first", "human")]


def test_agreement_with_the_weak_label_is_oriented_by_it_and_counts_ties_one_half() -> None:
    verdicts = build_verdicts(WIN, WIN, LOSS, INCONSISTENT, FAILED)
    weak: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "b", "p3": "b", "p4": "a"}
    agreement = compute_weak_agreement(verdicts, weak, own_clusters(verdicts))
    assert (agreement.value, agreement.n, agreement.n_failed) == ((1 + 0 + 1 + 0.5) / 4, 4, 1)


def test_a_judge_of_one_order_has_no_inconsistency_and_the_page_says_so(judged_run: Path) -> None:
    one_order = {key: replace(verdict, reversed=None) for key, verdict in build_verdicts(WIN, LOSS).items()}
    assert queries_one_order(one_order) and not queries_one_order(build_verdicts(WIN, LOSS) | {"same": SAME_TEXT})
    report = collect_report(judged_run)
    (judge,) = report.judges
    assert not judge.queries_one_order and ", in both orders</small>" in render_html(report)
    page = render_html(replace(report, judges=(replace(judge, queries_one_order=True),)))
    assert ", in one random order</small>" in page and ", in both orders</small>" not in page


def test_replies_that_count_as_ties_are_reported() -> None:
    unparsed_tie = replace(build_verdict("x", None, "first"), outcome="tie")
    verdicts = build_verdicts(WIN, FAILED) | {"x": unparsed_tie}
    assert count_unparsed_ties(verdicts) == 1
    (sentence,) = build_judge_warnings("x", build_metrics(metric(0.2, 0.1)), 1, 1, 9)
    assert sentence == "Judge x gave no valid verdict on 1 of 9 comparisons; the study counts these as ties."


def test_unlabeled_pairs_are_judged_by_whether_weak_and_human_labels_match(judged_run: Path) -> None:
    (judge,) = collect_report(judged_run).judges
    run = Run(judged_run)
    subsets = split_by_match(
        get_choices(run.annotations(run.index.stages_named("annotate.weak")[0])), get_human_choices(run.unlabeled)
    )
    sizes = {name: min(2, len(ids)) for name, ids in subsets.items()}
    judged = load_verdicts(run.artifact(run.index.unlabeled_verdicts["says-first"]))
    assert len(judged) == sum(sizes.values()) > 0
    for name, size in sizes.items():
        if not size:
            continue
        assert set(judged) & set(subsets[name]) == set(
            sorted(subsets[name], key=lambda key: text_hash("drawn", key))[:2]
        )
        # the judge always prefers the first response, so every comparison is a tie, in two contradictory orders
        assert (judge.metrics[f"weak_agreement.{name}"].value, judge.metrics[f"weak_agreement.{name}"].n) == (0.5, size)
        assert judge.metrics[f"order_inconsistency.{name}"].value == 1.0


def test_the_names_of_judges_are_escaped(judged_run: Path) -> None:
    report = collect_report(judged_run)
    (judge,) = report.judges
    hostile = JudgeInfo(
        name="<script>alert(1)</script>",
        engine="<b>",
        baseline="<i>",
        arms=judge.arms,
        metrics=judge.metrics,
        warnings=("<script>alert(2)</script>",),
    )
    page = render_html(replace(report, judges=(hostile,)))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_a_report_without_judges_has_no_judge_tables(finished_run: Path) -> None:
    report = collect_report(finished_run)
    assert report.judges == () and report.rater_agreements == ()
    assert build_judge_tables(report) == ()
    assert 'id="judges"' not in render_html(report)
