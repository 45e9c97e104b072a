"""The models that wrote the responses of the unlabeled pairs, compared by the labels of each arm."""

from __future__ import annotations

from trimtab.metrics.model_preference import select_shown
from trimtab.report.formatting import format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow

_METRIC = "model_preference"


def build_response_models_section(contents: PageContents) -> Section | None:
    tables = build_response_model_tables(contents.report)
    if not tables:
        return None
    return Section(
        id="response_models", title="Models of the responses", tab="Labels", tables=tables, metrics=(_METRIC,)
    )


def build_response_model_tables(report: Report) -> tuple[Table, ...]:
    """A row per arm and two models; none if the data names no models."""
    by_arm = {label.arm: select_shown(label.model_preferences) for label in report.labels if label.model_preferences}
    if not by_arm:
        return ()
    arms = sort_arm_names(by_arm)
    rows = tuple(
        TableRow(name=arm, cells=(*each.models, format_metric_cell(each.share, _METRIC)))
        for arm in arms
        for each in by_arm[arm][0]
    )
    left_out = [f"{arm}: {by_arm[arm][1]}." for arm in arms if by_arm[arm][1]]
    columns = ("Responses of", "Against those of", get_metric_info(_METRIC).label)
    legend = " ".join(["Pairs with two responses of one model, and pairs without a label, are left out.", *left_out])
    return (
        Table(
            title="Models of the responses",
            row_title="Labels",
            columns=tuple(Column(title=title) for title in columns),
            rows=rows,
            legend=legend,
        ),
    )
