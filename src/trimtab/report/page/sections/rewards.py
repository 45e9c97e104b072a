"""Gold rewards and their agreement with human labels."""

from __future__ import annotations

from trimtab.report.collect.rewards import RewardInfo
from trimtab.report.formatting import format_difference_cell, format_metric_cell
from trimtab.report.model import Report
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow


def build_rewards_section(contents: PageContents) -> Section | None:
    tables = build_reward_tables(contents.report)
    if not tables:
        return None
    return Section(id="rewards", title="Gold rewards", tab="Results", tables=tables, metrics=("agreement",))


def build_reward_tables(report: Report) -> tuple[Table, ...]:
    """A row per scorer: its human agreement on the test pairs, the length baseline's, and the paired difference."""
    if not report.rewards:
        return ()
    table = Table(
        title="Gold rewards",
        row_title="Reward",
        columns=(
            Column(title="Human agreement"),
            Column(title="Length baseline"),
            Column(title="Paired difference"),
        ),
        rows=tuple(
            TableRow(
                name=reward.name,
                note=_describe_scorer(reward),
                cells=(
                    format_metric_cell(reward.agreement, "agreement"),
                    format_metric_cell(reward.length_baseline, "agreement"),
                    format_difference_cell(reward.gain_over_length, "agreement"),
                ),
            )
            for reward in report.rewards
        ),
        legend="On the human-labeled test pairs; a tie counts one half. The length baseline prefers the longer response: a "
        "reward that is no better measures length.",
    )
    return (table,)


def _describe_scorer(reward: RewardInfo) -> str:
    if not reward.is_proxy:
        return reward.kind
    pairs = f" on {reward.n_training_pairs:,} human-labeled pairs" if reward.n_training_pairs else ""
    return f"a proxy: trained by the study{pairs}"
