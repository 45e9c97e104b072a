"""Gold rewards beside what they are worth."""

from __future__ import annotations

from trimtab.report.formatting import format_difference_cell, format_metric_cell
from trimtab.report.page.sections.section import PageContents, Section


def build_rewards_section(contents: PageContents) -> Section | None:
    """A row a scorer: who it is, its agreement with people on the test pairs, that of the length rule, and the difference."""
    found = contents.report.rewards
    if not found:
        return None
    rows = [
        (
            each,
            format_metric_cell(each.agreement, "agreement"),
            format_metric_cell(each.length_baseline, "agreement"),
            format_difference_cell(each.gain_over_length, "agreement"),
        )
        for each in found
    ]
    return Section(id="rewards", title="Gold rewards", tab="Results", values={"rows": rows}, metrics=("agreement",))
