"""What else came of the training, in a table of its own."""

from __future__ import annotations

from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY, SIDE_EFFECTS
from trimtab.report.formatting import format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.text.verdict import BASELINE


def build_side_effects_section(contents: PageContents) -> Section | None:
    """A row an arm: each figure, and where it was compared its paired difference to SFT alone, or without SFT to the base."""
    report = contents.report
    arms = {arm.name: arm for arm in report.arms}
    shown = [name for name in SIDE_EFFECTS if any(name in arm.metrics for arm in report.arms)]
    if not set(shown) & set(SIDE_EFFECT_ONLY):
        return None
    baseline = BASELINE if BASELINE in arms else "base"
    differences = {(each.arm, each.metric): each.difference for each in report.comparisons if each.baseline == baseline}
    compared = {metric for _, metric in differences}
    rows = [
        (
            arms[name],
            [
                each
                for metric in shown
                for each in (
                    format_metric_cell(arms[name].metrics[metric], metric) if metric in arms[name].metrics else None,
                    format_difference_cell(differences[name, metric], metric)
                    if (name, metric) in differences
                    else None,
                )[: 1 + (metric in compared)]
            ],
        )
        for name in sort_arm_names(arms)
        if any(metric in arms[name].metrics for metric in shown)
    ]
    return Section(
        id="side_effects",
        title="Side effects",
        tab="Students",
        values={
            "metrics": [(get_metric_info(name), name in compared) for name in shown],
            "rows": rows,
            "baseline": baseline,
        },
        metrics=tuple(shown),
    )
