"""What every stage took."""

from __future__ import annotations

from trimtab.report.duration import format_duration
from trimtab.report.page.sections.section import PageContents, Section


def build_cost_section(contents: PageContents) -> Section | None:
    """A row a stage, and the sum."""
    stages = contents.report.stage_costs
    if not stages:
        return None
    values = {
        "stages": stages,
        "missing": [name.rpartition("-")[0] for name in contents.report.missing_stages],
        "seconds": sum(stage.seconds for stage in stages),
        "tokens": sum(stage.tokens for stage in stages),
        "duration": format_duration,
    }
    return Section(id="cost", title="Cost", tab="Cost", values=values)
