"""The comparisons that a study is for, each with what an exact test says of it."""

from __future__ import annotations

from trimtab.report.collect.comparisons import format_p_value, select_main_comparisons
from trimtab.report.formatting import format_difference_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.page.sections.section import PageContents, Section


def build_comparisons_section(contents: PageContents) -> Section | None:
    """A row a comparison and figure: the paired difference, the rows that differ, and the exact p-value."""
    found = select_main_comparisons(contents.report)
    if not found:
        return None
    rows = [
        (
            each,
            get_metric_info(each.metric),
            format_difference_cell(each.difference, each.metric),
            format_p_value(each.p_value),
        )
        for each in found
    ]
    return Section(
        id="comparisons",
        title="Head to head",
        tab="Results",
        values={"rows": rows},
        metrics=tuple(dict.fromkeys(each.metric for each in found)),
    )
