"""The criteria of annotators: how much each counts, and what it is worth alone."""

from __future__ import annotations

from trimtab.report.formatting import format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import LabelInfo, Report, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow
from trimtab.report.value_format import format_number

LABEL_CRITERION_METRICS = ("agreement", "answer_agreement", "order_inconsistency")


def build_criteria_section(contents: PageContents) -> Section | None:
    labels = _select_labels(contents.report)
    if not labels:
        return None
    return Section(
        id="criteria",
        title="Criteria",
        tab="Labels",
        tables=build_criteria_tables(contents.report),
        metrics=tuple(name for name in LABEL_CRITERION_METRICS if any(_has_metric(label, name) for label in labels)),
    )


def build_criteria_tables(report: Report) -> tuple[Table, ...]:
    """A table of all arms whose annotator has criteria, with a row per arm and criterion."""
    labels = _select_labels(report)
    names = [name for name in LABEL_CRITERION_METRICS if any(_has_metric(label, name) for label in labels)]
    rows = tuple(
        TableRow(
            name=f"{label.arm}: {criterion}",
            cells=(
                format_number(each.weight),
                *(format_metric_cell(each.metrics[name], name) if name in each.metrics else None for name in names),
            ),
        )
        for label in labels
        for criterion, each in label.criteria.items()
    )
    if not rows:
        return ()
    columns = (Column(title="Weight", numeric=True), *(Column(title=get_metric_info(name).label) for name in names))
    return (
        Table(
            title="Criteria of annotators",
            row_title="Labels",
            columns=columns,
            rows=rows,
            legend="A weight multiplies the log-odds of its criterion. It is fitted to the human labels of the labeled pairs, "
            "next to the other criteria: of two that say the same, one can have a small or a negative weight.",
        ),
    )


def _select_labels(report: Report) -> list[LabelInfo]:
    by_arm = {label.arm: label for label in report.labels if label.criteria}
    return [by_arm[name] for name in sort_arm_names(by_arm)]


def _has_metric(label: LabelInfo, name: str) -> bool:
    return any(name in each.metrics for each in label.criteria.values())
