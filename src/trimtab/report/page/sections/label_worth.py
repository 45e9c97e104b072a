"""What the labels of each arm are worth in human labels, next to the learning curve."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.report.collect.label_worth import LabelWorthInfo
from trimtab.report.formatting import MetricCell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.page.learning_curve_figure import draw_learning_curve
from trimtab.report.page.sections.section import Figure, PageContents, Section
from trimtab.report.table import Column, Table, TableCell, TableRow
from trimtab.report.text.label_worth import describe_seeds, format_label_worth

WORTH_INTRO = (
    "The number of human labels with which the same student reaches the same value, read off the learning curve of the arms on "
    "human labels. The interval includes the errors of the curve. It is never extrapolated: “more than” and “less than” name "
    "the ends of the curve."
)


def build_label_worth_section(contents: PageContents) -> Section | None:
    infos = contents.report.label_worths
    tables = build_label_worth_tables(contents.report)
    if not tables:
        return None
    return Section(
        id="label_worth",
        title="What the labels are worth",
        tab="Results",
        intro=WORTH_INTRO,
        figures=draw_learning_curves(infos),
        tables=tables,
        metrics=tuple(dict.fromkeys(info.metric for info in infos)),
    )


def draw_learning_curves(infos: Sequence[LabelWorthInfo]) -> tuple[Figure, ...]:
    """One figure per metric."""
    return tuple(
        Figure(
            name=f"learning-curve-{metric}",
            title=f"{get_metric_info(metric).label} by the number of human labels",
            svg=draw_learning_curve([info for info in infos if info.metric == metric]),
        )
        for metric in dict.fromkeys(info.metric for info in infos)
    )


def build_label_worth_tables(report: Report) -> tuple[Table, ...]:
    return build_worth_tables(report.label_worths)


def build_worth_tables(infos: Sequence[LabelWorthInfo]) -> tuple[Table, ...]:
    """One table per metric: each arm's worth, the human labels that it depends on, and what it saves."""
    metrics = dict.fromkeys(info.metric for info in infos)
    return tuple(
        _build_table(metric, {info.arm: info for info in infos if info.metric == metric}) for metric in metrics
    )


def _build_table(metric: str, by_arm: dict[str, LabelWorthInfo]) -> Table:
    first = next(iter(by_arm.values()))
    columns = [Column(title="Worth in human labels"), Column(title="Depends on", numeric=True), Column(title="Saves")]
    if first.label_price is not None:
        columns.append(Column(title=f"Saves, at {first.label_price:g} per label"))
    warning = "" if first.curve_rises else " The curve does not rise, so worths read off it say little."
    points = ", ".join(f"{point.num_labels:,} ({point.arm})" for point in first.curve)
    return Table(
        title=f"Label worth: {get_metric_info(metric).label}",
        row_title="Arm",
        columns=tuple(columns),
        rows=tuple(TableRow(name=name, cells=_build_cells(by_arm[name])) for name in sort_arm_names(by_arm)),
        legend=f"The curve has {points} human labels. Intervals are over test rows{describe_seeds(first.worth)}."
        f"{warning}",
    )


def _build_cells(info: LabelWorthInfo) -> tuple[TableCell, ...]:
    noun = get_metric_info(info.metric).count_noun
    failed = f", {info.worth.n_failed:,} left out" if info.worth.n_failed else ""
    text = format_label_worth(info.worth)
    cells: list[TableCell] = [
        MetricCell(value=text.value, interval=text.interval, sample_size=f"{info.worth.n:,} {noun}{failed}")
    ]
    if info.labels_used is None:
        return (*cells, "labels of the pool", *([""] * (1 if info.label_price is None else 2)))
    cells += [f"{info.labels_used:,} labels", str(format_label_worth(info.worth, minus=info.labels_used))]
    if info.label_price is not None:
        cells.append(str(format_label_worth(info.worth, minus=info.labels_used, price=info.label_price)))
    return tuple(cells)
