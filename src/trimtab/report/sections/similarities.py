"""How alike answers are in meaning."""

from __future__ import annotations

from trimtab.plan.answers import PREFERRED
from trimtab.report.cells import cell
from trimtab.report.model import arm_order
from trimtab.report.sections.section import Contents, Section


def similarities(contents: Contents) -> Section | None:
    """A row an arm: its answers beside what people preferred, and beside every other arm's."""
    found = contents.report.similarities
    if not found:
        return None
    cosines = {each: info.cosine for info in found for each in ((info.arm, info.to), (info.to, info.arm))}
    names = arm_order(info.arm for info in found)
    columns = [PREFERRED, *names]
    rows = [
        (name, [cell(cosines[name, other], "cosine") if (name, other) in cosines else None for other in columns])
        for name in names
    ]
    return Section(
        id="similarities",
        title="How alike answers are",
        tab="Students",
        values={"columns": columns, "rows": rows},
        metrics=("cosine",),
    )
