"""What a report says of its judges: figures worked by hand, and no more trust than they have earned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import metric
from rich.console import Console

from trimtab.errors import DataError
from trimtab.report.collect import collect
from trimtab.report.html import render
from trimtab.report.judge_tables import judge_tables
from trimtab.report.judges import (
    ANSWERS,
    PAIRS,
    JudgeInfo,
    agreement_back,
    agreements,
    first_named,
    judge_back,
    judged_row,
    order_flips,
    plain,
    steadiness,
    warnings,
    with_people,
)
from trimtab.report.tables import summary
from trimtab.types import Choice, Metric, Named, Outcome, Reading, Verdict

OUTCOMES: dict[tuple[Named | None, Named | None], Outcome] = {
    ("first", "second"): "win",
    ("second", "first"): "loss",
    ("first", "first"): "tie",
    ("tie", "tie"): "tie",
    (None, "first"): "failed",
}


def verdict(key: str, there: Named | None, back: Named | None) -> Verdict:
    return Verdict(
        id=key, outcome=OUTCOMES[there, back], there=Reading(named=there), back=Reading(named=back, text="eh?")
    )


def said(*readings: tuple[Named | None, Named | None]) -> dict[str, Verdict]:
    return {f"p{place}": verdict(f"p{place}", *each) for place, each in enumerate(readings)}


Both = tuple[Named | None, Named | None]
WIN: Both = ("first", "second")
LOSS: Both = ("second", "first")
FLIP: Both = ("first", "first")
FAILED: Both = (None, "first")
SAME_TEXT = Verdict(id="same", outcome="tie")


def own(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {key: key for key in verdicts}


def test_a_win_rate_counts_ties_half_and_failures_apart() -> None:
    row = judged_row(said(WIN, WIN, FLIP, LOSS, FAILED), dict.fromkeys(("p0", "p1", "p2", "p3", "p4"), 0.0))
    rate = row.figures["win_rate"]
    assert (rate.value, rate.n, rate.n_failed) == ((2 + 0.5) / 4, 4, 1)
    assert row.counts == {"win": 2, "tie": 1, "loss": 1, "failed": 1}
    # answers of equal length leave nothing to control for
    controlled = row.figures["length_controlled_win_rate"].value
    assert controlled is not None and abs(controlled - 0.625) < 0.05


def test_a_win_rate_that_length_bought_is_taken_down() -> None:
    verdicts = said(*[WIN] * 12, *[LOSS] * 4)
    leads = {key: 40.0 if each.outcome == "win" else -40.0 for key, each in verdicts.items()}
    row = judged_row(verdicts, leads)
    assert row.figures["win_rate"].value == 0.75
    controlled = row.figures["length_controlled_win_rate"].value
    assert controlled is not None and controlled < 0.65


def test_flips_are_counted_over_what_was_read_in_both_orders() -> None:
    verdicts = said(WIN, FLIP, FLIP, ("tie", "tie"), FAILED) | {"same": SAME_TEXT}
    flips = order_flips(verdicts, own(verdicts))
    assert (flips.value, flips.n, flips.n_failed) == (2 / 4, 4, 1)


def test_a_place_that_is_preferred_shows() -> None:
    verdicts = said(WIN, FLIP, FLIP, ("tie", "tie"))
    assert first_named(verdicts, own(verdicts)).value == 5 / 6


def voted(key: str, there: Sequence[Named | None], back: Sequence[Named | None]) -> Verdict:
    return Verdict(
        id=key,
        outcome="tie",
        there=Reading(named="first", votes=tuple(there)),
        back=Reading(named="first", votes=tuple(back)),
    )


def test_repeated_votes_are_told_beyond_what_a_coin_would_do() -> None:
    votes = {
        "x": voted("x", ["first", "first", "first"], ["first", "first", "second"]),
        "y": voted("y", ["second", "second", "second"], ["second", "first", None]),  # a half is what two flips share
    }
    found = steadiness(votes, own(votes))
    assert found["vote_majority"].value == pytest.approx((1 + 2 / 3 + 1 + 1 / 2) / 4)
    # three flips share 3/4 on average, two of them 3/4
    majority, coin = (1 + 2 / 3 + 1 + 1 / 2) / 4, 0.75
    assert found["vote_consistency"].value == pytest.approx((majority - coin) / (1 - coin))


def test_a_judge_that_was_asked_once_has_no_consistency() -> None:
    assert steadiness(said(WIN, FLIP), {"p0": 0, "p1": 1}) == {}


def test_agreement_with_people_counts_ties_half() -> None:
    verdicts = said(WIN, LOSS, FLIP, WIN)
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    found = with_people(verdicts, human, own(verdicts))
    assert found["with_people"].value == (1 + 1 + 0.5 + 0) / 4
    # alike on 2 of 4; by chance a·a 2/4·2/4 and b·b 1/4·2/4
    assert found["kappa"].value == pytest.approx((0.5 - 0.375) / (1 - 0.375))


def test_judges_and_people_are_compared_two_by_two_and_all_together() -> None:
    judges = {"one": said(WIN, LOSS, WIN, LOSS), "two": said(WIN, LOSS, LOSS, WIN)}
    human: dict[str, Choice] = {"p0": "a", "p1": "b", "p2": "a", "p3": "b"}
    found = agreements(judges, PAIRS, own(judges["one"]), human)
    assert [each.raters for each in found] == [
        ("one", "two"),
        ("one", "people"),
        ("two", "people"),
        ("one", "two", "people"),
    ]
    by = {each.raters: each.figures for each in found}
    assert by["one", "two"]["kappa"].value == 0.0
    assert by["one", "people"]["kappa"].value == by["one", "people"]["alpha"].value == 1.0
    # 12 values, 6 of each; 2 units with one value of three apart: observed 2·(2·1·2/2)/12, expected 2·6·6/(12·11)
    assert by["one", "two", "people"]["alpha"].value == pytest.approx(1 - (4 / 12) / (72 / 132))


def test_judges_that_judged_different_ids_are_refused_with_the_ids() -> None:
    two = said(WIN, LOSS) | {"other": verdict("other", *WIN)}
    with pytest.raises(DataError, match=r"judges one and two: 2 ids were judged by one of them alone \(other, p2\)"):
        agreements({"one": said(WIN, LOSS, WIN), "two": two}, ANSWERS, {})


def figures(flips: Metric, people: Metric | None = None) -> dict[str, Metric]:
    return {"order_flips": flips, **({"with_people": people} if people else {})}


def test_a_judge_that_says_the_first_is_called_unusable() -> None:
    verdicts = said(*[FLIP] * 9)
    flips = order_flips(verdicts, own(verdicts))
    assert flips.value == 1.0
    (sentence,) = warnings("x", figures(flips), 0, 9)
    assert sentence.startswith("Judge x is unusable: it names the same place in both orders on 1.000 [")
    assert "of 9 comparisons, where a coin would on one half" in sentence


def test_words_about_a_judge_follow_its_intervals() -> None:
    good, unclear, bad = metric(0.2, 0.1), metric(0.45, 0.1), metric(0.7, 0.1)
    assert warnings("x", figures(good), 0, 99) == ()
    assert "not told apart from a coin" in warnings("x", figures(unclear), 0, 99)[0]
    assert "unusable" in warnings("x", figures(bad), 0, 99)[0]
    few = Metric(value=1.0, low=0.14, high=1.0, n=3)
    assert "not told apart from a coin" in warnings("x", figures(few), 0, 3)[0]
    alone = Metric(value=1.0, low=None, high=None, n=1)
    assert warnings("x", figures(alone), 0, 1) == (
        "Judge x names the same place in both orders on 1.000 of 1 comparisons: too few to tell it from a coin.",
    )
    people = {high: warnings("x", figures(good, metric(high, 0.1)), 0, 99) for high in (0.7, 0.55, 0.3)}
    assert people[0.7] == ()
    assert "not told apart from a coin by its agreement with people" in people[0.55][0]
    assert "prefers what people do not" in people[0.3][0]


def test_a_judge_that_could_often_not_be_read_is_named() -> None:
    (sentence,) = warnings("x", figures(metric(0.2, 0.1)), 30, 99)
    assert sentence == "Judge x could not be read on 30 of 99 comparisons; its figures speak of the others alone."
    assert warnings("x", figures(metric(0.2, 0.1)), 10, 99) == ()


def test_what_is_said_of_a_judge_survives_json() -> None:
    verdicts = said(WIN, LOSS, FLIP, FAILED)
    info = JudgeInfo(
        name="x",
        engine="scripted",
        against="sft",
        rows={"weak": judged_row(verdicts, dict.fromkeys(verdicts, 1.0))},
        figures=figures(metric(0.2, 0.1)),
        warnings=("Careful.",),
    )
    assert judge_back(json.loads(json.dumps(plain(info)))) == info
    (found,) = agreements({"x": verdicts}, PAIRS, own(verdicts), {"p0": "a"})
    assert agreement_back(json.loads(json.dumps(plain(found)))) == found


def test_the_report_of_a_run_says_what_its_judge_is_not_good_for(judged_run: Path) -> None:
    report = collect(judged_run)
    (judge,) = report.judges
    assert (judge.name, judge.engine, judge.against) == ("says-first", "scripted", "sft")
    assert set(judge.rows) == {"base", "human", "weak", "flipped", "weak_model"}
    for row in judge.rows.values():
        assert row.figures["win_rate"].value == 0.5
        assert (row.counts["win"], row.counts["loss"], row.counts["tie"]) == (0, 0, 6)
    assert judge.figures["order_flips"].value == judge.figures["first_named"].value == 1.0
    assert judge.figures["with_people"].value == 0.5
    # Six prompts cannot show that even a judge that always says the first is worse than a coin.
    (flips,) = [note for note in report.notes if "names the same place" in note]
    assert flips.startswith("Judge says-first names the same place in both orders on 1.000 [")
    assert flips.endswith("at this size it is not told apart from a coin.")
    assert flips in render(report)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(summary(report))
    assert "Judge says-first, against sft" in shown.get()
    assert max(map(len, shown.get().splitlines())) <= 80
    assert [each.raters for each in report.rater_agreements] == [("says-first", "people")]


def test_flips_are_told_apart_by_whether_the_weak_model_sides_with_people(judged_run: Path) -> None:
    (judge,) = collect(judged_run).judges
    parts = [
        judge.figures[f"order_flips.{part}"] for part in ("match", "mismatch") if f"order_flips.{part}" in judge.figures
    ]
    assert [part.value for part in parts] == [1.0] * len(parts)
    assert sum(part.n for part in parts) == judge.figures["with_people"].n > 0


def test_the_names_of_judges_are_escaped(judged_run: Path) -> None:
    report = collect(judged_run)
    (judge,) = report.judges
    hostile = JudgeInfo(
        name="<script>alert(1)</script>",
        engine="<b>",
        against="<i>",
        rows=judge.rows,
        figures=judge.figures,
        warnings=("<script>alert(2)</script>",),
    )
    page = render(replace(report, judges=(hostile,)))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_a_report_without_judges_has_no_table_of_them(finished_run: Path) -> None:
    report = collect(finished_run)
    assert report.judges == () and report.rater_agreements == ()
    assert judge_tables(report).renderables == []
    assert 'id="judges"' not in render(report)
