"""Judges in a terminal: a table each, and one of how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.judges import JudgeInfo, RaterAgreement
from trimtab.report.metrics import metric_info, written
from trimtab.report.model import Report, arm_order
from trimtab.types import Metric

# What 80 columns hold beside the names of the rows; flips of each row are on the page.
COLUMNS = {"win_rate": "win rate", "length_controlled_win_rate": "length-controlled"}


def judge_tables(report: Report) -> Group:
    """Win rates against the row that was judged against, flips and failures, then agreement. Empty without judges."""
    parts: list[RenderableType] = [part for each in report.judges for part in _judge(each)]
    if report.rater_agreements:
        parts += [Text("How far raters agree"), _agreements(report.rater_agreements)]
    return Group(*parts)


def _judge(info: JudgeInfo) -> list[RenderableType]:
    table = _table("row", [*COLUMNS.values(), "n"])
    for name in arm_order(info.rows):
        figures = info.rows[name].figures
        table.add_row(
            Text(name, style="bold"), *(_cell(figures[each], each) for each in COLUMNS), _count(figures["win_rate"])
        )
    table.add_section()
    for name, figure in info.figures.items():
        table.add_row(Text(metric_info(name).label), _cell(figure, name), "", _count(figure))
    return [Text(f"Judge {info.name}, against {info.against}"), table]


def _agreements(found: Sequence[RaterAgreement]) -> Table:
    table = _table("raters", ["kappa", "alpha", "on"])
    for each in found:
        cells = [_cell(each.figures[name], name) if name in each.figures else "" for name in ("kappa", "alpha")]
        n = each.figures["alpha"].n
        table.add_row(Text(", ".join(each.raters)), *cells, f"{n:,} {each.on}")
    return table


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(Text(first), overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table


def _count(metric: Metric) -> str:
    return f"{metric.n:,}" + (f" ({metric.n_failed:,} failed)" if metric.n_failed else "")


def _cell(metric: Metric, name: str) -> Text:
    value, interval = written(metric, metric_info(name))
    return Text.assemble(value, " ", (interval, "dim"))
