"""Gold rewards beside what they are worth."""

from __future__ import annotations

from trimtab.report.cells import cell, difference_cell
from trimtab.report.sections.section import Contents, Section


def rewards(contents: Contents) -> Section | None:
    """A row a scorer: who it is, its agreement with people on the test pairs, that of the length rule, and the difference."""
    found = contents.report.rewards
    if not found:
        return None
    rows = [
        (
            each,
            cell(each.agreement, "agreement"),
            cell(each.longer, "agreement"),
            difference_cell(each.lead, "agreement"),
        )
        for each in found
    ]
    return Section(id="rewards", title="Gold rewards", tab="Results", values={"rows": rows}, metrics=("agreement",))
