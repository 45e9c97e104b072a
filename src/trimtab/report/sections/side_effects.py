"""What else came of the training, in a table of its own."""

from __future__ import annotations

from trimtab.report.cells import cell, difference_cell
from trimtab.report.metrics import metric_info
from trimtab.report.model import arm_order
from trimtab.report.sections.section import Contents, Section
from trimtab.report.side_effects import OF_THEIR_OWN, SIDE_EFFECTS
from trimtab.report.verdict import BASELINE


def side_effects(contents: Contents) -> Section | None:
    """A row an arm: each figure, and where it was compared its paired difference to SFT alone, or without SFT to the base."""
    report = contents.report
    arms = {arm.name: arm for arm in report.arms}
    shown = [name for name in SIDE_EFFECTS if any(name in arm.metrics for arm in report.arms)]
    if not set(shown) & set(OF_THEIR_OWN):
        return None
    baseline = BASELINE if BASELINE in arms else "base"
    differences = {(each.arm, each.metric): each.difference for each in report.comparisons if each.against == baseline}
    compared = {metric for _, metric in differences}
    rows = [
        (
            arms[name],
            [
                each
                for metric in shown
                for each in (
                    cell(arms[name].metrics[metric], metric) if metric in arms[name].metrics else None,
                    difference_cell(differences[name, metric], metric) if (name, metric) in differences else None,
                )[: 1 + (metric in compared)]
            ],
        )
        for name in arm_order(arms)
        if any(metric in arms[name].metrics for metric in shown)
    ]
    return Section(
        id="side_effects",
        title="Side effects",
        tab="Students",
        values={
            "metrics": [(metric_info(name), name in compared) for name in shown],
            "rows": rows,
            "baseline": baseline,
        },
        metrics=tuple(shown),
    )
