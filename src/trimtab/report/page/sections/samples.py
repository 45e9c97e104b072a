"""Some test prompts, and what each arm's student answered."""

from __future__ import annotations

from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.text.phrases import lowercase_first


def build_samples_section(contents: PageContents) -> Section | None:
    """As many as the study's `samples` allows."""
    found = contents.report.samples
    if not found:
        return None
    values = {
        "samples": found,
        "order": sort_arm_names,
        "label": lambda metric: lowercase_first(get_metric_info(metric).label),
    }
    return Section(id="samples", title="Answers", tab="Students", values=values)
