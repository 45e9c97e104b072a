"""Some test prompts, and what each arm's student answered."""

from __future__ import annotations

from trimtab.report.metrics import metric_info
from trimtab.report.model import arm_order
from trimtab.report.phrases import small
from trimtab.report.sections.section import Contents, Section


def samples(contents: Contents) -> Section | None:
    """As many as the study's `samples` allows."""
    found = contents.report.samples
    if not found:
        return None
    values = {"samples": found, "order": arm_order, "label": lambda metric: small(metric_info(metric).label)}
    return Section(id="samples", title="Answers", tab="Students", values=values)
