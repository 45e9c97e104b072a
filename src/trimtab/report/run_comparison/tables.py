"""The tables of a run comparison, for the terminal and the page."""

from __future__ import annotations

from dataclasses import replace

from trimtab.config.names import SFT_ROW, is_sft_row
from trimtab.report.formatting import MetricCell, format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import OWN_SFT, sort_arm_names
from trimtab.report.run_comparison.collect import RunComparison
from trimtab.report.run_comparison.seeds import SeedAggregate, list_baselines
from trimtab.report.table import Column, Table, TableRow
from trimtab.types import Metric


def build_metric_table(comparison: RunComparison, metric: str) -> Table:
    """A row per arm, a column per run, and a column for each run's paired difference to the first run."""
    rows = comparison.rows_for_metric(metric)
    first = comparison.runs[0].name
    with_differences = {name for row in rows for name in row.differences}
    columns: list[Column] = []
    cells: dict[str, list[MetricCell | None]] = {row.arm: [] for row in rows}
    for run in comparison.runs:
        columns.append(Column(title=run.name))
        for row in rows:
            value = row.metrics_by_run.get(run.name)
            cells[row.arm].append(format_metric_cell(value, metric) if value else None)
        if run.name in with_differences:
            columns.append(Column(title=f"minus {first}", keep_with_previous=True))
            for row in rows:
                difference = row.differences.get(run.name)
                cells[row.arm].append(format_difference_cell(difference, metric) if difference else None)
    return Table(
        title=format_metric_title(metric),
        row_title="arm",
        columns=tuple(columns),
        rows=tuple(TableRow(name=arm, cells=tuple(arm_cells)) for arm, arm_cells in cells.items()),
    )


def build_seed_table(comparison: RunComparison, metric: str) -> Table:
    """A row per arm: the mean over seeds, the standard deviation, and differences to the baselines."""
    report = comparison.runs[0].report
    aggregates = {
        aggregate.arm: _merge_own_starts(aggregate, report.get_baseline(aggregate.arm))
        for aggregate in comparison.seed_aggregates
        if aggregate.metric == metric
    }
    baselines = list_baselines(aggregates.values())
    counts_seeds = not comparison.shared_test_pairs
    rows = []
    for arm in sort_arm_names(aggregates):
        aggregate = aggregates[arm]
        cells: list[MetricCell | None] = [
            _with_seed_count(format_metric_cell(aggregate.mean, metric), aggregate.mean, counts_seeds),
            _with_seed_count(format_metric_cell(aggregate.std, metric), aggregate.std, counts_seeds=True),
        ]
        for baseline in baselines:
            difference = aggregate.differences.get(baseline)
            cell = format_difference_cell(difference, metric) if difference else None
            cells.append(_with_seed_count(cell, difference, counts_seeds) if cell and difference else None)
        rows.append(TableRow(name=arm, cells=tuple(cells)))
    titles = ("mean", "SD across seeds", *(f"minus {baseline}" for baseline in baselines))
    return Table(
        title=f"{format_metric_title(metric)}, over {len(comparison.runs)} seeds",
        row_title="arm",
        columns=tuple(Column(title=title) for title in titles),
        rows=tuple(rows),
    )


def _merge_own_starts(aggregate: SeedAggregate, start: str) -> SeedAggregate:
    """With the difference to the arm's own SFT, if it has one, under a name that is the same for all arms."""
    if start == SFT_ROW or not is_sft_row(start):
        return aggregate
    differences = {OWN_SFT if name == start else name: value for name, value in aggregate.differences.items()}
    return replace(aggregate, differences=differences)


def format_metric_title(metric: str) -> str:
    info = get_metric_info(metric)
    return f"{info.label}, {info.unit}" if info.unit else info.label


def _with_seed_count(cell: MetricCell, metric: Metric, counts_seeds: bool) -> MetricCell:
    return replace(cell, sample_size=f"{metric.n} seeds") if counts_seeds else cell
