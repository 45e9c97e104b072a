"""Sample test prompts with each arm's response."""

from __future__ import annotations

from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.text.phrases import lowercase_first


def build_samples_section(contents: PageContents) -> Section | None:
    samples = contents.report.samples
    if not samples:
        return None
    return Section(
        id="samples",
        title="Sample responses",
        tab="Students",
        template="samples",
        values={
            "samples": samples,
            "sort_arm_names": sort_arm_names,
            "format_metric_label": lambda metric: lowercase_first(get_metric_info(metric).label),
        },
    )
