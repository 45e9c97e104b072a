"""The labels of each arm: by whom, how good, how sure, and at what price."""

from __future__ import annotations

from trimtab.report.cells import Cell, cell
from trimtab.report.duration import duration
from trimtab.report.figures import labels_figure
from trimtab.report.metrics import metric_info
from trimtab.report.model import LabelInfo, arm_order
from trimtab.report.sections.section import Contents, Figure, Section

# What the table of all arms has; the rest stands beside each arm's drawing.
_SUMMARY = ("agreement", "calibration_error", "coverage")


def labels(contents: Contents) -> Section | None:
    """All arms in a table, then each arm's measures beside its probabilities, drawn."""
    found = _in_order(contents)
    if not found:
        return None
    heads = [name for name in _SUMMARY if any(name in each.metrics for each in found)]
    drawings = {each.arm: labels_figure(each) for each in found}
    return Section(
        id="labels",
        title="Labels",
        tab="Labels",
        values={
            "labels": [
                (
                    each,
                    [(metric_info(name), cell(figure, name)) for name, figure in each.metrics.items()],
                    drawings[each.arm],
                )
                for each in found
            ],
            "heads": [metric_info(name) for name in heads],
            "rows": [(each, [_cell_of(each, name) for name in heads]) for each in found],
            "duration": duration,
        },
        figures=tuple(
            Figure(name=f"labels-{arm}", title=f"Labels of {arm}", svg=svg) for arm, svg in drawings.items() if svg
        ),
        metrics=tuple(name for each in found for name in each.metrics),
    )


def ledger(contents: Contents) -> Section | None:
    """What each asking took, once, with the arms that it served."""
    served: dict[str, list[str]] = {}
    asked = {each.arm: each for each in _in_order(contents) if each.cost.calls}
    for arm, each in asked.items():
        served.setdefault(each.source or arm, []).append(arm)
    if not served:
        return None
    rows = [(names, asked[names[0]]) for names in served.values()]
    return Section(id="ledger", title="What asking took", tab="Labels", values={"rows": rows, "duration": duration})


def _cell_of(label: LabelInfo, name: str) -> Cell | None:
    return cell(label.metrics[name], name) if name in label.metrics else None


def _in_order(contents: Contents) -> list[LabelInfo]:
    by_arm = {each.arm: each for each in contents.report.labels}
    return [by_arm[name] for name in arm_order(by_arm)]
