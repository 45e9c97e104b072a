"""The report as people read it: rewards that the study trained are called proxies, and never gold."""

from __future__ import annotations

from dataclasses import replace

from trimtab.report.collect.rewards import display_metric_name
from trimtab.report.model import Report


def relabel_trained_rewards(report: Report) -> Report:
    """The same report under the names of its tables; `report.json` keeps one name for all rewards, so that programs need not
    know who gave them."""
    rewards = report.rewards
    return replace(
        report,
        arms=tuple(
            replace(arm, metrics={display_metric_name(name, rewards): metric for name, metric in arm.metrics.items()})
            for arm in report.arms
        ),
        comparisons=tuple(
            replace(each, metric=display_metric_name(each.metric, rewards)) for each in report.comparisons
        ),
        samples=tuple(replace(each, metric=display_metric_name(each.metric, rewards)) for each in report.samples),
    )
