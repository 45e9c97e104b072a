import re
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType
from sample_report import ARMS, REPORT

from trimtab.report.duration import format_duration
from trimtab.report.model import ArmResult, Report, StudyInfo
from trimtab.report.page.sections.labels import build_label_tables
from trimtab.report.page.sections.results import build_results_tables
from trimtab.report.table import Column, Table, TableRow, render_terminal_table
from trimtab.report.terminal.tables import format_costs, render_report_summary
from trimtab.types import Metric

LARGE = Metric(value=-12.345, low=-14.321, high=-10.123, n=100_000, n_failed=12)


def render(renderable: RenderableType, width: int) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def render_results(report: Report, width: int) -> str:
    return "\n".join(render(render_terminal_table(table), width) for table in build_results_tables(report))


def find_row(text: str, arm: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [arm])


@pytest.mark.parametrize("width", [80, 120])
def test_no_text_is_truncated_at_this_terminal_width(width: int) -> None:
    text = render(render_report_summary(REPORT), width)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    assert "0.612 [0.581, 0.643]" in text
    assert "−0.118 [−0.148, −0.088]" in text
    assert "0.890 [0.680, 1.100]" in text
    assert "1,600 pairs, 10 failed" in text


def test_large_negative_values_fit_80_columns() -> None:
    arms = tuple(replace(arm, metrics={"gold_reward": LARGE}) for arm in ARMS)
    differences = tuple(replace(each, difference=LARGE) for each in REPORT.comparisons)
    text = render_results(replace(REPORT, arms=arms, comparisons=differences), 80)
    assert "…" not in text
    assert text.count("−12.35 [−14.32, −10.12]") == 7 + 6  # the skipped arm has a message instead
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_mark_shows_that_the_interval_excludes_zero() -> None:
    gold = render_results(REPORT, 80).split("Accuracy")[0]
    assert "▲" in find_row(gold, "weak")
    assert "▼" in find_row(gold, "base")
    assert not {"▲", "▼"} & set(find_row(gold, "flipped"))
    assert not {"▲", "▼"} & set(find_row(gold, "sft"))


def test_rows_have_the_table_order_independent_of_the_input_order() -> None:
    shuffled = replace(REPORT, arms=tuple(reversed(REPORT.arms)))
    lines = render_results(shuffled, 80).splitlines()
    first = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in {arm.name for arm in ARMS}]
    assert first[:7] == ["base", "sft", "human", "weak", "flipped", "seam", "weak_model"]


def test_a_skipped_arm_has_its_reason() -> None:
    text = render_results(REPORT, 120)
    assert "weak_filtered_by_uncertainty: no student: the filter left 3 pairs" in text


def test_a_missing_value_is_a_dash_and_never_zero() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0, n_failed=9)
    arm = ArmResult(name="weak", role="arm", metrics={"accuracy": nothing})
    text = render_results(replace(REPORT, arms=(arm,)), 80)
    assert find_row(text, "weak").split() == ["weak", "–", "+0.117", "[0.087,", "0.147]", "▲"]
    assert "0 pairs, 9 failed" in text


def test_metrics_of_the_verdict_come_first() -> None:
    one = Metric(value=0.5, low=None, high=None, n=1, n_failed=0)
    arm = ArmResult(name="weak", role="arm", metrics={"eos_rate": one, "accuracy": one, "gold_reward.x": one})
    heading, sizes = render_results(Report(study=REPORT.study, arms=(arm,)), 120).splitlines()[2:4]
    assert re.split(r"  +", heading.strip()) == ["Accuracy", "Gold reward (x)", "Finished (EOS) rate"]
    assert re.split(r"  +", sizes.strip()) == ["Arm", "1 pair", "1 prompt", "1 prompt"]


def test_every_label_metric_has_a_row() -> None:
    text = "".join(render(render_terminal_table(table), 80) for table in build_label_tables(REPORT))
    for words in ("implicit_reward", "1,600 pairs", "Agreement", "0.742 [0.721, 0.763]", "Kappa", "Length correlation"):
        assert words in text


def test_the_cost_line_counts_cached_stages() -> None:
    assert format_costs(REPORT).plain == "3 stages, 1 h 05 min of stage time, 1 cached (41 s saved), 10,710,000 tokens"


def test_an_empty_report_renders() -> None:
    empty = Report(study=StudyInfo(name="none", seed=0, weak="w", student="s"))
    assert "No student was trained on labels" in render(render_report_summary(empty), 80)


def test_markup_in_names_is_not_interpreted() -> None:
    arm = ArmResult(name="[red]x[/red]", role="arm", metrics={"accuracy": LARGE}, description="")
    assert "[red]x[/red]" in render_results(replace(REPORT, arms=(arm,)), 120)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (9.96, "10 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7799, "2 h 10 min")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_wide_table_is_split_into_blocks_that_repeat_the_row_names() -> None:
    columns = tuple(Column(title=f"column {index}") for index in range(8))
    table = Table(
        title="Wide",
        row_title="Row",
        columns=columns,
        rows=(TableRow(name="first", cells=("x" * 20,) * 8, note="small"),),
    )
    text = render(render_terminal_table(table), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("x" * 20) == 8
    assert sum(line.split()[:1] == ["first"] for line in text.splitlines()) == 3


def test_columns_that_belong_together_stay_in_one_block() -> None:
    cells = ("x" * 30, "y" * 20, "z" * 20)
    columns = (Column(title="x"), Column(title="y"), Column(title="z", keep_with_previous=True))
    table = Table(title="", row_title="Row", columns=columns, rows=(TableRow(name="first", cells=cells),))
    first, second = (
        line.split()[1:] for line in render(render_terminal_table(table), 80).splitlines() if "first" in line
    )
    assert (first, second) == (["x" * 30], ["y" * 20, "z" * 20])
