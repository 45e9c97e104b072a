"""The rounds of iterative alignment."""

from __future__ import annotations

from trimtab.report.collect.rounds import RoundInfo
from trimtab.report.formatting import format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableCell, TableRow

_LABEL_METRICS = ("agreement", "anchor_agreement", "confidence", "coverage")
# Of the round's student, besides gold rewards.
_STUDENT_METRICS = ("accuracy", "kl_to_reference", "length")
_REWARDS = ("gold_reward", "proxy_reward")


def build_rounds_section(contents: PageContents) -> Section | None:
    tables = build_round_tables(contents.report)
    if not tables:
        return None
    metrics = (*_list_label_metrics(contents.report), *_list_student_metrics(contents.report))
    return Section(id="rounds", title="Rounds", tab="Results", tables=tables, metrics=metrics)


def build_round_tables(report: Report) -> tuple[Table, ...]:
    """A row per arm and round: the annotator's labels of the round's pairs, then the student that was aligned on them."""
    if not report.rounds:
        return ()
    label_metrics = _list_label_metrics(report)
    metrics = (*label_metrics, *_list_student_metrics(report))
    own = (
        "of the round's own pairs, and of the anchors, which are" if "agreement" in label_metrics else "of the anchors,"
    )
    table = Table(
        title="Rounds",
        row_title="Round",
        columns=tuple(Column(title=_format_title(name)) for name in metrics),
        rows=tuple(_build_row(report, each, metrics) for each in report.rounds),
        legend=f"Agreement is with human labels {own} the test pairs: the annotator learns nothing between rounds, so its "
        "agreement on the anchors does not change. KL is to the model before round 1.",
    )
    return (table,)


def _list_label_metrics(report: Report) -> list[str]:
    """Without those that no round has, such as agreement without human labels of its pairs."""
    return [name for name in _LABEL_METRICS if any(name in each.metrics for each in report.rounds)]


def _list_student_metrics(report: Report) -> list[str]:
    rows = {each.row for each in report.rounds}
    names = dict.fromkeys(name for arm in report.arms if arm.name in rows for name in arm.metrics)
    rewards = [name for name in names if name.partition(".")[0] in _REWARDS]
    return [*rewards, *(name for name in _STUDENT_METRICS if name in names)]


def _format_title(name: str) -> str:
    info = get_metric_info(name)
    return f"{info.label}, {info.unit}" if info.unit else info.label


def _build_row(report: Report, info: RoundInfo, metrics: tuple[str, ...]) -> TableRow:
    student = next((arm.metrics for arm in report.arms if arm.name == info.row), {})
    values = {**student, **info.metrics}
    cells: list[TableCell] = [format_metric_cell(values[name], name) if name in values else None for name in metrics]
    return TableRow(name=f"{info.arm}, round {info.number}", note=_describe_pairs(info), cells=tuple(cells))


def _describe_pairs(info: RoundInfo) -> str:
    skipped = "".join(f"; {count:,} left out: {reason}" for reason, count in info.skipped.items())
    return f"{info.n_pairs:,} pairs of {info.n_prompts:,} prompts{skipped}"
