"""What every stage took."""

from __future__ import annotations

from trimtab.report.duration import duration
from trimtab.report.sections.section import Contents, Section


def cost(contents: Contents) -> Section | None:
    """A row a stage, and the sum."""
    stages = contents.report.costs
    if not stages:
        return None
    values = {
        "stages": stages,
        "missing": [name.rpartition("-")[0] for name in contents.report.missing],
        "seconds": sum(stage.seconds for stage in stages),
        "tokens": sum(stage.tokens for stage in stages),
        "duration": duration,
    }
    return Section(id="cost", title="Cost", tab="Cost", values=values)
