from dataclasses import replace

import pytest
from made_up import ARMS, REPORT
from rich.console import Console, RenderableType

from trimtab.report.duration import format_duration
from trimtab.report.model import Arm, Report, StudyInfo
from trimtab.report.terminal.tables import build_arm_tables, build_labels_table, format_costs, render_report_summary
from trimtab.types import Metric

LARGE = Metric(value=-12.345, low=-14.321, high=-10.123, n=100_000, n_failed=12)


def rendered(what: RenderableType, width: int) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def row(text: str, arm: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [arm])


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_in_a_terminal_of_this_width(width: int) -> None:
    text = rendered(render_report_summary(REPORT), width)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    assert "0.612 [0.581, 0.643]" in text
    assert "−0.118 [−0.148, −0.088]" in text
    assert "0.890 [0.680, 1.100]" in text
    assert "1,600 (10 without)" in text


def test_large_negative_figures_still_fit_80_columns() -> None:
    arms = tuple(replace(arm, metrics={"gold_reward": LARGE}) for arm in ARMS)
    differences = tuple(replace(each, difference=LARGE) for each in REPORT.comparisons)
    text = rendered(build_arm_tables(replace(REPORT, arms=arms, comparisons=differences)), 80)
    assert "…" not in text
    assert text.count("−12.35 [−14.32, −10.12]") == 8 + 6
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_mark_stands_where_the_interval_leaves_out_zero() -> None:
    gold = rendered(build_arm_tables(REPORT), 80).split("Accuracy")[0]
    assert "▲" in row(gold, "weak")
    assert "▼" in row(gold, "base")
    assert not {"▲", "▼"} & set(row(gold, "flipped"))
    assert not {"▲", "▼"} & set(row(gold, "sft"))


def test_the_rows_stand_in_order_whatever_order_they_came_in() -> None:
    shuffled = replace(REPORT, arms=tuple(reversed(REPORT.arms)))
    lines = rendered(build_arm_tables(shuffled), 80).splitlines()
    first = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in {arm.name for arm in ARMS}]
    assert first[:7] == ["base", "sft", "human", "weak", "flipped", "seam", "weak_model"]


def test_a_skipped_arm_says_why() -> None:
    text = rendered(build_arm_tables(REPORT), 120)
    assert "weak_filtered_by_uncertainty: no student, the filter left 3 pairs" in text


def test_a_missing_figure_is_a_dash_and_never_a_zero() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0, n_failed=9)
    arm = Arm(name="weak", role="arm", metrics={"accuracy": nothing})
    line = row(rendered(build_arm_tables(replace(REPORT, arms=(arm,))), 80), "weak")
    assert line.split() == ["weak", "–", "0", "(9", "without)", "+0.117", "[0.087,", "0.147]", "▲"]


def test_every_measure_of_the_labels_has_its_line() -> None:
    text = rendered(build_labels_table(REPORT), 80)
    for words in ("implicit_reward", "1,600 pairs", "Agreement", "0.742 [0.721, 0.763]", "Kappa", "Length corr."):
        assert words in text


def test_the_cost_tells_what_was_cached() -> None:
    assert format_costs(REPORT).plain == "3 stages, 1 h 05 min, 1 cached (41 s saved), 10,710,000 tokens"


def test_an_empty_report_renders() -> None:
    empty = Report(study=StudyInfo(name="none", seed=0, weak="w", student="s"))
    assert "No arm was trained on labels" in rendered(render_report_summary(empty), 80)


def test_markup_in_names_stays_text() -> None:
    arm = Arm(name="[red]x[/red]", role="arm", metrics={"accuracy": LARGE}, description="")
    assert "[red]x[/red]" in rendered(build_arm_tables(replace(REPORT, arms=(arm,))), 120)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (9.96, "10 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7799, "2 h 10 min")],
)
def test_durations_are_said_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
