"""Renames rewards that the study trained from gold reward to proxy reward, for the page and the terminal."""

from __future__ import annotations

from dataclasses import replace

from trimtab.report.collect.rewards import display_metric_name
from trimtab.report.model import Report


def relabel_trained_rewards(report: Report) -> Report:
    """The report with display names of rewards. `report.json` uses one name for all, so programs need no special case."""
    rewards = report.rewards
    return replace(
        report,
        arms=tuple(
            replace(arm, metrics={display_metric_name(name, rewards): metric for name, metric in arm.metrics.items()})
            for arm in report.arms
        ),
        comparisons=tuple(
            replace(comparison, metric=display_metric_name(comparison.metric, rewards))
            for comparison in report.comparisons
        ),
        label_worths=tuple(
            replace(worth, metric=display_metric_name(worth.metric, rewards)) for worth in report.label_worths
        ),
        samples=tuple(replace(sample, metric=display_metric_name(sample.metric, rewards)) for sample in report.samples),
    )
