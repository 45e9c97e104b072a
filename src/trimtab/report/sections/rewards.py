"""Gold rewards beside what they are worth."""

from __future__ import annotations

from trimtab.report.cells import cell
from trimtab.report.sections.section import Contents, Section


def rewards(contents: Contents) -> Section | None:
    """A row a scorer: who it is, its agreement with people on the test pairs, and that of the length rule."""
    found = contents.report.rewards
    if not found:
        return None
    rows = [(each, cell(each.agreement, "agreement"), cell(each.longer, "agreement")) for each in found]
    return Section(id="rewards", title="Gold rewards", tab="Results", values={"rows": rows}, metrics=("agreement",))
