"""Studies side by side as one HTML file that needs nothing else, scripts included."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import MetricInfo, get_metric_info
from trimtab.report.model import Arm, sort_arm_names
from trimtab.report.page.figures import draw_intervals
from trimtab.report.page.html import create_environment, load_stylesheet
from trimtab.report.run_comparison.collect import MetricRow, RunComparison
from trimtab.report.run_comparison.seeds import SEPARATE_SPLITS_NOTE, list_baselines
from trimtab.report.text.verdict import build_question, build_verdict
from trimtab.types import Metric

_PLOTTED_METRICS = ("gold_reward", "proxy_reward", "accuracy", "win_rate", "pgr")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """An arm's figures by study, and its paired differences to the first study."""

    arm: str
    metrics: dict[str, MetricCell]
    differences: dict[str, MetricCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSection:
    """A metric: drawn where that helps, and as a table."""

    info: MetricInfo
    svg: str
    rows: list[ArmRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSection:
    """A metric over seeds: each arm's mean, the spread between seeds, and its leads over the rows `against`."""

    info: MetricInfo
    baselines: list[str]
    rows: list[tuple[str, MetricCell, MetricCell, list[MetricCell | None]]]


def render_run_comparison_page(found: RunComparison) -> str:
    """The page; all text of the studies is escaped."""
    template = create_environment().get_template("compare.html.j2")
    return template.render(
        sides=[(side, build_question(side.report), build_verdict(side.report)[0]) for side in found.runs],
        notes=found.notes,
        duration=format_duration,
        seeds_speak_of=found.seed_note,
        seeds=[_seed_section(found, metric) for metric in dict.fromkeys(each.metric for each in found.seed_aggregates)],
        parts=[_metric_section(found, metric) for metric in found.metric_names],
        first=found.runs[0].name,
        compared={name for entry in found.metric_rows for name in entry.differences},
        style=load_stylesheet(),
    )


def _seed_section(found: RunComparison, metric: str) -> SeedSection:
    entries = {each.arm: each for each in found.seed_aggregates if each.metric == metric}
    by_seed = found.seed_note == SEPARATE_SPLITS_NOTE
    against = list_baselines(entries.values())
    rows = [
        (
            arm,
            _with_seed_count(format_metric_cell(entries[arm].mean, metric), entries[arm].mean, by_seed),
            _with_seed_count(format_metric_cell(entries[arm].std, metric), entries[arm].std, by_seed=True),
            [
                _with_seed_count(format_difference_cell(lead, metric), lead, by_seed) if lead else None
                for lead in (entries[arm].differences.get(each) for each in against)
            ],
        )
        for arm in sort_arm_names(entries)
    ]
    return SeedSection(info=get_metric_info(metric), baselines=against, rows=rows)


def _with_seed_count(shown: MetricCell, metric: Metric, by_seed: bool) -> MetricCell:
    return replace(shown, sample_size=f"{metric.n} seeds") if by_seed else shown


def _metric_section(found: RunComparison, metric: str) -> MetricSection:
    entries = found.rows_for_metric(metric)
    info = get_metric_info(metric)
    svg = _whisker_plot(found, entries, info) if metric.partition(".")[0] in _PLOTTED_METRICS else ""
    return MetricSection(info=info, svg=svg, rows=[_arm_row(entry) for entry in entries])


def _arm_row(entry: MetricRow) -> ArmRow:
    return ArmRow(
        arm=entry.arm,
        metrics={name: format_metric_cell(figure, entry.metric) for name, figure in entry.metrics_by_run.items()},
        differences={name: format_difference_cell(each, entry.metric) for name, each in entry.differences.items()},
    )


def _whisker_plot(found: RunComparison, entries: list[MetricRow], info: MetricInfo) -> str:
    """Each arm's figures under one another, a line a study; the first study in the color of references."""
    first = found.runs[0].name
    rows = [
        (
            Arm(name=f"{entry.arm} · {side.name}", role="reference" if side.name == first else "arm"),
            entry.metrics_by_run[side.name],
        )
        for entry in entries
        for side in found.runs
        if side.name in entry.metrics_by_run
    ]
    return draw_intervals(rows, info, f"{info.label} by arm and study", is_difference=False)
