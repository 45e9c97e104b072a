"""The labels of each arm: annotator, quality, calibration and cost."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import LabelInfo, Report, sort_arm_names
from trimtab.report.page.figures import draw_label_histogram, has_human_labels
from trimtab.report.page.sections.section import Figure, PageContents, Section
from trimtab.report.table import Column, Table, TableRow

# The metrics in the table of all arms. The tables of each arm have all metrics.
_SUMMARY_METRICS = ("agreement", "calibration_error", "coverage")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelView:
    """One arm's labels: the table of metrics, a sentence on cost, and the histogram as SVG with its caption.

    All but `info` may be empty.
    """

    info: LabelInfo
    table: Table | None
    cost: str
    svg: str
    caption: str


def build_labels_section(contents: PageContents) -> Section | None:
    """A table of all arms, then each arm's metrics and histogram."""
    report = contents.report
    if not report.labels:
        return None
    views = [_build_view(label) for label in _sort_labels(report)]
    return Section(
        id="labels",
        title="Labels",
        tab="Labels",
        tables=(_build_summary_table(report),),
        figures=tuple(
            Figure(name=f"labels-{view.info.arm}", title=f"Labels of {view.info.arm}", svg=view.svg)
            for view in views
            if view.svg
        ),
        template="labels",
        values={"views": views},
        metrics=tuple(name for view in views for name in view.info.metrics),
    )


def build_label_tables(report: Report) -> tuple[Table, ...]:
    """The table of all arms, then a table of metrics for each arm."""
    if not report.labels:
        return ()
    tables = (_build_metric_table(label) for label in _sort_labels(report))
    return (_build_summary_table(report), *(table for table in tables if table is not None))


def build_inference_cost_section(contents: PageContents) -> Section | None:
    """The cost of prompted annotators, once for each annotation stage, with the arms that share it."""
    arms: dict[str, list[str]] = {}
    prompted = {label.arm: label for label in _sort_labels(contents.report) if label.cost.calls}
    for arm, label in prompted.items():
        arms.setdefault(label.source or arm, []).append(arm)
    if not arms:
        return None
    titles = (
        "Calls",
        "Input tokens computed",
        "Input tokens cached",
        "Tokens generated",
        "Time",
        "Calls per pair",
    )
    table = Table(
        title="Inference cost",
        row_title="Labels",
        columns=(Column(title="Annotator"), *(Column(title=title, numeric=True) for title in titles)),
        rows=tuple(_build_cost_row(names, prompted[names[0]]) for names in arms.values()),
    )
    return Section(
        id="inference_cost",
        title="Inference cost",
        tab="Labels",
        intro="Cached input tokens are prompt prefixes that several prompts share. A response that several annotators use is "
        "generated once and counted for each of them.",
        tables=(table,),
    )


def _build_cost_row(arms: list[str], label: LabelInfo) -> TableRow:
    cost = label.cost
    cells = (
        label.annotator,
        f"{cost.calls:,}",
        f"{cost.prompt_tokens:,}",
        f"{cost.cached_tokens:,}",
        f"{cost.generated_tokens:,}",
        format_duration(cost.seconds),
        f"{cost.calls / label.n_pairs:.1f}",
    )
    return TableRow(name=", ".join(arms), cells=cells)


def _build_summary_table(report: Report) -> Table:
    labels = _sort_labels(report)
    metrics = [name for name in _SUMMARY_METRICS if any(name in label.metrics for label in labels)]
    return Table(
        title="Labels by arm",
        row_title="Labels",
        columns=(
            Column(title="Annotator"),
            *(Column(title=get_metric_info(name).label) for name in metrics),
            Column(title="Tokens", numeric=True),
            Column(title="Time", numeric=True),
        ),
        rows=tuple(
            TableRow(
                name=label.arm,
                cells=(
                    label.annotator,
                    *(_build_cell(label, name) for name in metrics),
                    f"{label.cost.prompt_tokens + label.cost.generated_tokens:,}",
                    format_duration(label.cost.seconds),
                ),
            )
            for label in labels
        ),
    )


def _build_view(label: LabelInfo) -> LabelView:
    cost = label.cost
    sentence = (
        f"{format_duration(cost.seconds)}, {cost.prompt_tokens:,} input tokens, {cost.generated_tokens:,} generated."
        if cost.prompt_tokens and not cost.calls
        else ""
    )
    caption = "Histogram of label probabilities"
    if has_human_labels(label):
        caption += ", and human agreement with them. Calibrated labels are on the diagonal"
    return LabelView(
        info=label,
        table=_build_metric_table(label),
        cost=sentence,
        svg=draw_label_histogram(label),
        caption=f"{caption}.",
    )


def _build_metric_table(label: LabelInfo) -> Table | None:
    if not label.metrics:
        return None
    rows = tuple(
        TableRow(name=get_metric_info(name).label, cells=(format_metric_cell(metric, name),))
        for name, metric in label.metrics.items()
    )
    title = f"Labels of {label.arm} by {label.annotator}, {label.n_pairs:,} pairs"
    return Table(title=title, row_title="Metric", columns=(Column(title="Value"),), rows=rows)


def _build_cell(label: LabelInfo, name: str) -> MetricCell | None:
    return format_metric_cell(label.metrics[name], name) if name in label.metrics else None


def _sort_labels(report: Report) -> list[LabelInfo]:
    by_arm = {label.arm: label for label in report.labels}
    return [by_arm[name] for name in sort_arm_names(by_arm)]
