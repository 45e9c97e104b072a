"""Judges in a terminal: a table each, and one of how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.metrics.judge_quality import RaterAgreement
from trimtab.report.metric_registry import format_value, get_metric_info
from trimtab.report.model import JudgeInfo, Report, sort_arm_names
from trimtab.types import Metric

# What 80 columns hold beside the names of the rows; flips of each row are on the page.
WIN_RATE_COLUMNS = {"win_rate": "win rate", "length_controlled_win_rate": "length-controlled"}


def build_judge_tables(report: Report) -> Group:
    """Win rates against the row that was judged against, flips and failures, then agreement. Empty without judges."""
    parts: list[RenderableType] = [part for each in report.judges for part in _build_judge_table(each)]
    if report.rater_agreements:
        parts += [Text("How far raters agree"), _build_agreement_table(report.rater_agreements)]
    return Group(*parts)


def _build_judge_table(info: JudgeInfo) -> list[RenderableType]:
    table = _create_table("row", [*WIN_RATE_COLUMNS.values(), "n"])
    for name in sort_arm_names(info.arms):
        figures = info.arms[name].metrics
        table.add_row(
            Text(name, style="bold"),
            *(_format_metric(figures[each], each) for each in WIN_RATE_COLUMNS),
            _format_count(figures["win_rate"]),
        )
    table.add_section()
    for name, figure in info.metrics.items():
        table.add_row(Text(get_metric_info(name).label), _format_metric(figure, name), "", _format_count(figure))
    return [Text(f"Judge {info.name}, against {info.baseline}"), table]


def _build_agreement_table(found: Sequence[RaterAgreement]) -> Table:
    table = _create_table("raters", ["kappa", "alpha", "on"])
    for each in found:
        cells = [
            _format_metric(each.metrics[name], name) if name in each.metrics else "" for name in ("kappa", "alpha")
        ]
        n = each.metrics["alpha"].n
        table.add_row(Text(", ".join(each.raters)), *cells, f"{n:,} {each.rated_items}")
    return table


def _create_table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(Text(first), overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table


def _format_count(metric: Metric) -> str:
    return f"{metric.n:,}" + (f" ({metric.n_failed:,} failed)" if metric.n_failed else "")


def _format_metric(metric: Metric, name: str) -> Text:
    value, interval = format_value(metric, get_metric_info(name))
    return Text.assemble(value, " ", (interval, "dim"))
