"""What a report says of its judges: figures worked by hand, and no more trust than they have earned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sample_report import metric
from rich.console import Console

from trimtab.errors import DataError
from trimtab.metrics.judge_quality import (
    ON_RESPONSES,
    ON_TEST_PAIRS,
    JudgeInfo,
    agreement_from_json,
    build_judge_warnings,
    compute_first_position_rate,
    compute_human_agreement,
    compute_order_inconsistency,
    compute_rater_agreements,
    compute_vote_agreement,
    judge_from_json,
    judge_to_json,
    summarize_arm_verdicts,
)
from trimtab.report.collect.report import collect_report
from trimtab.report.page.html import render_html
from trimtab.report.terminal.judges import build_judge_tables
from trimtab.report.terminal.tables import render_report_summary
from trimtab.types import Choice, JudgeChoice, Metric, Outcome, SingleVerdict, Verdict

OUTCOMES: dict[tuple[JudgeChoice | None, JudgeChoice | None], Outcome] = {
    ("first", "second"): "win",
    ("second", "first"): "loss",
    ("first", "first"): "tie",
    ("tie", "tie"): "tie",
    (None, "first"): "failed",
}


def verdict(key: str, there: JudgeChoice | None, back: JudgeChoice | None) -> Verdict:
    return Verdict(
        id=key,
        outcome=OUTCOMES[there, back],
        forward=SingleVerdict(choice=there),
        reversed=SingleVerdict(choice=back, text="eh?"),
    )


def said(*readings: tuple[JudgeChoice | None, JudgeChoice | None]) -> dict[str, Verdict]:
    return {f"p{place}": verdict(f"p{place}", *each) for place, each in enumerate(readings)}


Both = tuple[JudgeChoice | None, JudgeChoice | None]
WIN: Both = ("first", "second")
LOSS: Both = ("second", "first")
FLIP: Both = ("first", "first")
FAILED: Both = (None, "first")
SAME_TEXT = Verdict(id="same", outcome="tie")


def own(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {key: key for key in verdicts}


def test_a_win_rate_counts_ties_half_and_failures_apart() -> None:
    row = summarize_arm_verdicts(said(WIN, WIN, FLIP, LOSS, FAILED), dict.fromkeys(("p0", "p1", "p2", "p3", "p4"), 0.0))
    rate = row.metrics["win_rate"]
    assert (rate.value, rate.n, rate.n_failed) == ((2 + 0.5) / 4, 4, 1)
    assert row.counts == {"win": 2, "tie": 1, "loss": 1, "failed": 1}
    # answers of equal length leave nothing to control for
    controlled = row.metrics["length_controlled_win_rate"].value
    assert controlled is not None and abs(controlled - 0.625) < 0.05


def test_a_win_rate_that_length_bought_is_taken_down() -> None:
    verdicts = said(*[WIN] * 12, *[LOSS] * 4)
    leads = {key: 40.0 if each.outcome == "win" else -40.0 for key, each in verdicts.items()}
    row = summarize_arm_verdicts(verdicts, leads)
    assert row.metrics["win_rate"].value == 0.75
    controlled = row.metrics["length_controlled_win_rate"].value
    assert controlled is not None and controlled < 0.65


def test_flips_are_counted_over_what_was_read_in_both_orders() -> None:
    verdicts = said(WIN, FLIP, FLIP, ("tie", "tie"), FAILED) | {"same": SAME_TEXT}
    flips = compute_order_inconsistency(verdicts, own(verdicts))
    assert (flips.value, flips.n, flips.n_failed) == (2 / 4, 4, 1)


def test_a_place_that_is_preferred_shows() -> None:
    verdicts = said(WIN, FLIP, FLIP, ("tie", "tie"))
    assert compute_first_position_rate(verdicts, own(verdicts)).value == 5 / 6


def voted(key: str, there: Sequence[JudgeChoice | None], back: Sequence[JudgeChoice | None]) -> Verdict:
    return Verdict(
        id=key,
        outcome="tie",
        forward=SingleVerdict(choice="first", votes=tuple(there)),
        reversed=SingleVerdict(choice="first", votes=tuple(back)),
    )


def test_repeated_votes_are_told_beyond_what_a_coin_would_do() -> None:
    votes = {
        "x": voted("x", ["first", "first", "first"], ["first", "first", "second"]),
        "y": voted("y", ["second", "second", "second"], ["second", "first", None]),  # a half is what two flips share
    }
    found = compute_vote_agreement(votes, own(votes))
    assert found["vote_agreement"].value == pytest.approx((1 + 2 / 3 + 1 + 1 / 2) / 4)
    # three flips share 3/4 on average, two of them 3/4
    majority, coin = (1 + 2 / 3 + 1 + 1 / 2) / 4, 0.75
    assert found["self_consistency"].value == pytest.approx((majority - coin) / (1 - coin))


def test_a_judge_that_was_asked_once_has_no_consistency() -> None:
    assert compute_vote_agreement(said(WIN, FLIP), {"p0": 0, "p1": 1}) == {}


def test_agreement_with_people_counts_ties_half() -> None:
    verdicts = said(WIN, LOSS, FLIP, WIN)
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    found = compute_human_agreement(verdicts, human, own(verdicts))
    assert found["human_agreement"].value == (1 + 1 + 0.5 + 0) / 4
    # alike on 2 of 4; by chance a·a 2/4·2/4 and b·b 1/4·2/4
    assert found["kappa"].value == pytest.approx((0.5 - 0.375) / (1 - 0.375))


def test_judges_and_people_are_compared_two_by_two_and_all_together() -> None:
    judges = {"one": said(WIN, LOSS, WIN, LOSS), "two": said(WIN, LOSS, LOSS, WIN)}
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    found = compute_rater_agreements(judges, ON_TEST_PAIRS, own(judges["one"]), human)
    assert [each.raters for each in found] == [
        ("one", "two"),
        ("one", "people"),
        ("two", "people"),
        ("one", "two", "people"),
    ]
    by = {each.raters: each.metrics for each in found}
    assert by["one", "two"]["kappa"].value == 0.0
    assert by["one", "people"]["kappa"].value == by["one", "people"]["alpha"].value == 1.0
    # 12 values, 6 of each; 2 units with one value of three apart: observed 2·(2·1·2/2)/12, expected 2·6·6/(12·11)
    assert by["one", "two", "people"]["alpha"].value == pytest.approx(1 - (4 / 12) / (72 / 132))


def test_judges_that_judged_different_ids_are_refused_with_the_ids() -> None:
    two = said(WIN, LOSS) | {"other": verdict("other", *WIN)}
    with pytest.raises(DataError, match=r"judges one and two: 2 ids were judged by one of them alone \(other, p2\)"):
        compute_rater_agreements({"one": said(WIN, LOSS, WIN), "two": two}, ON_RESPONSES, {})


def figures(flips: Metric, people: Metric | None = None) -> dict[str, Metric]:
    return {"order_inconsistency": flips, **({"human_agreement": people} if people else {})}


def test_a_judge_that_says_the_first_is_called_unusable() -> None:
    verdicts = said(*[FLIP] * 9)
    flips = compute_order_inconsistency(verdicts, own(verdicts))
    assert flips.value == 1.0
    (sentence,) = build_judge_warnings("x", figures(flips), 0, 9)
    assert sentence.startswith("Judge x is unusable: it names the same place in both orders on 1.000 [")
    assert "of 9 comparisons, where a coin would on one half" in sentence


def test_words_about_a_judge_follow_its_intervals() -> None:
    good, unclear, bad = metric(0.2, 0.1), metric(0.45, 0.1), metric(0.7, 0.1)
    assert build_judge_warnings("x", figures(good), 0, 99) == ()
    assert "not told apart from a coin" in build_judge_warnings("x", figures(unclear), 0, 99)[0]
    assert "unusable" in build_judge_warnings("x", figures(bad), 0, 99)[0]
    few = Metric(value=1.0, low=0.14, high=1.0, n=3)
    assert "not told apart from a coin" in build_judge_warnings("x", figures(few), 0, 3)[0]
    alone = Metric(value=1.0, low=None, high=None, n=1)
    assert build_judge_warnings("x", figures(alone), 0, 1) == (
        "Judge x names the same place in both orders on 1.000 of 1 comparisons: too few to tell it from a coin.",
    )
    people = {high: build_judge_warnings("x", figures(good, metric(high, 0.1)), 0, 99) for high in (0.7, 0.55, 0.3)}
    assert people[0.7] == ()
    assert "not told apart from a coin by its agreement with people" in people[0.55][0]
    assert "prefers what people do not" in people[0.3][0]


def test_a_judge_that_could_often_not_be_read_is_named() -> None:
    (sentence,) = build_judge_warnings("x", figures(metric(0.2, 0.1)), 30, 99)
    assert sentence == "Judge x could not be read on 30 of 99 comparisons; its figures speak of the others alone."
    assert build_judge_warnings("x", figures(metric(0.2, 0.1)), 10, 99) == ()


def test_what_is_said_of_a_judge_survives_json() -> None:
    verdicts = said(WIN, LOSS, FLIP, FAILED)
    info = JudgeInfo(
        name="x",
        engine="scripted",
        baseline="sft",
        arms={"weak": summarize_arm_verdicts(verdicts, dict.fromkeys(verdicts, 1.0))},
        metrics=figures(metric(0.2, 0.1)),
        warnings=("Careful.",),
    )
    assert judge_from_json(json.loads(json.dumps(judge_to_json(info)))) == info
    (found,) = compute_rater_agreements({"x": verdicts}, ON_TEST_PAIRS, own(verdicts), {"p0": "a"})
    assert agreement_from_json(json.loads(json.dumps(judge_to_json(found)))) == found


def test_the_report_of_a_run_says_what_its_judge_is_not_good_for(judged_run: Path) -> None:
    report = collect_report(judged_run)
    (judge,) = report.judges
    assert (judge.name, judge.engine, judge.baseline) == ("says-first", "scripted", "sft")
    assert set(judge.arms) == {"base", "human", "weak", "flipped", "weak_model"}
    for row in judge.arms.values():
        assert row.metrics["win_rate"].value == 0.5
        assert (row.counts["win"], row.counts["loss"], row.counts["tie"]) == (0, 0, 6)
    assert judge.metrics["order_inconsistency"].value == judge.metrics["first_position_rate"].value == 1.0
    assert judge.metrics["human_agreement"].value == 0.5
    # Six prompts cannot show that even a judge that always says the first is worse than a coin.
    (flips,) = [note for note in report.notes if "names the same place" in note]
    assert flips.startswith("Judge says-first names the same place in both orders on 1.000 [")
    assert flips.endswith("at this size it is not told apart from a coin.")
    assert flips in render_html(report)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(render_report_summary(report))
    assert "Judge says-first, against sft" in shown.get()
    assert max(map(len, shown.get().splitlines())) <= 80
    assert [each.raters for each in report.rater_agreements] == [("says-first", "people")]


def test_flips_are_told_apart_by_whether_the_weak_model_sides_with_people(judged_run: Path) -> None:
    (judge,) = collect_report(judged_run).judges
    parts = [
        judge.metrics[f"order_inconsistency.{part}"] for part in ("match", "mismatch") if f"order_inconsistency.{part}" in judge.metrics
    ]
    assert [part.value for part in parts] == [1.0] * len(parts)
    assert sum(part.n for part in parts) == judge.metrics["human_agreement"].n > 0


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


def test_a_report_without_judges_has_no_table_of_them(finished_run: Path) -> None:
    report = collect_report(finished_run)
    assert report.judges == () and report.rater_agreements == ()
    assert build_judge_tables(report).renderables == []
    assert 'id="judges"' not in render_html(report)
