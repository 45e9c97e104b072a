"""How alike answers are in meaning."""

from __future__ import annotations

from trimtab.pipeline.plan.response_metrics import PREFERRED_RESPONSES
from trimtab.report.formatting import format_metric_cell
from trimtab.report.model import sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section


def build_similarities_section(contents: PageContents) -> Section | None:
    """A row an arm: its answers beside what people preferred, and beside every other arm's."""
    found = contents.report.similarities
    if not found:
        return None
    cosines = {
        each: info.cosine for info in found for each in ((info.arm, info.compared_to), (info.compared_to, info.arm))
    }
    names = sort_arm_names(info.arm for info in found)
    columns = [PREFERRED_RESPONSES, *names]
    rows = [
        (
            name,
            [
                format_metric_cell(cosines[name, other], "cosine") if (name, other) in cosines else None
                for other in columns
            ],
        )
        for name in names
    ]
    return Section(
        id="similarities",
        title="How alike answers are",
        tab="Students",
        values={"columns": columns, "rows": rows},
        metrics=("cosine",),
    )
