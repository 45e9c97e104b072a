"""Side effects of training."""

from __future__ import annotations

from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY, SIDE_EFFECTS
from trimtab.report.model import Report
from trimtab.report.page.sections.results import build_metric_tables
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Table


def build_side_effects_section(contents: PageContents) -> Section | None:
    tables = build_side_effect_tables(contents.report)
    if not tables:
        return None
    return Section(
        id="side_effects",
        title="Side effects",
        tab="Students",
        tables=tables,
        metrics=tuple(_list_metrics(contents.report)),
    )


def build_side_effect_tables(report: Report) -> tuple[Table, ...]:
    """A row per arm: each metric, and its paired difference to the row that the arm started from."""
    metrics = _list_metrics(report)
    if not set(metrics) & set(SIDE_EFFECT_ONLY):
        return ()
    arms = [arm.name for arm in report.arms if any(metric in arm.metrics for metric in metrics)]
    return build_metric_tables(report, "Side effects", metrics, arms)


def _list_metrics(report: Report) -> list[str]:
    return [name for name in SIDE_EFFECTS if any(name in arm.metrics for arm in report.arms)]
