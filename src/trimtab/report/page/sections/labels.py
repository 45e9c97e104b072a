"""The labels of each arm: by whom, how good, how sure, and at what price."""

from __future__ import annotations

from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import LabelInfo, sort_arm_names
from trimtab.report.page.figures import draw_label_histogram
from trimtab.report.page.sections.section import Figure, PageContents, Section

# What the table of all arms has; the rest stands beside each arm's drawing.
_SUMMARY_METRICS = ("agreement", "calibration_error", "coverage")


def build_labels_section(contents: PageContents) -> Section | None:
    """All arms in a table, then each arm's measures beside its probabilities, drawn."""
    found = _sort_labels(contents)
    if not found:
        return None
    heads = [name for name in _SUMMARY_METRICS if any(name in each.metrics for each in found)]
    drawings = {each.arm: draw_label_histogram(each) for each in found}
    return Section(
        id="labels",
        title="Labels",
        tab="Labels",
        values={
            "labels": [
                (
                    each,
                    [
                        (get_metric_info(name), format_metric_cell(figure, name))
                        for name, figure in each.metrics.items()
                    ],
                    drawings[each.arm],
                )
                for each in found
            ],
            "heads": [get_metric_info(name) for name in heads],
            "rows": [(each, [_build_cell(each, name) for name in heads]) for each in found],
            "duration": format_duration,
        },
        figures=tuple(
            Figure(name=f"labels-{arm}", title=f"Labels of {arm}", svg=svg) for arm, svg in drawings.items() if svg
        ),
        metrics=tuple(name for each in found for name in each.metrics),
    )


def build_inference_cost_section(contents: PageContents) -> Section | None:
    """What each asking took, once, with the arms that it served."""
    served: dict[str, list[str]] = {}
    asked = {each.arm: each for each in _sort_labels(contents) if each.cost.calls}
    for arm, each in asked.items():
        served.setdefault(each.source or arm, []).append(arm)
    if not served:
        return None
    rows = [(names, asked[names[0]]) for names in served.values()]
    return Section(
        id="ledger", title="What asking took", tab="Labels", values={"rows": rows, "duration": format_duration}
    )


def _build_cell(label: LabelInfo, name: str) -> MetricCell | None:
    return format_metric_cell(label.metrics[name], name) if name in label.metrics else None


def _sort_labels(contents: PageContents) -> list[LabelInfo]:
    by_arm = {each.arm: each for each in contents.report.labels}
    return [by_arm[name] for name in sort_arm_names(by_arm)]
