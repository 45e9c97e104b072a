"""The comparisons that a study is for, each with what an exact test says of it."""

from __future__ import annotations

from trimtab.report.cells import difference_cell
from trimtab.report.comparisons import head_to_head, p_told
from trimtab.report.metrics import metric_info
from trimtab.report.sections.section import Contents, Section


def comparisons(contents: Contents) -> Section | None:
    """A row a comparison and figure: the paired difference, the rows that differ, and the exact p-value."""
    found = head_to_head(contents.report)
    if not found:
        return None
    rows = [
        (each, metric_info(each.metric), difference_cell(each.difference, each.metric), p_told(each.p_value))
        for each in found
    ]
    return Section(
        id="comparisons",
        title="Head to head",
        tab="Results",
        values={"rows": rows},
        metrics=tuple(dict.fromkeys(each.metric for each in found)),
    )
