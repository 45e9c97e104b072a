"""Similarity of responses, and the correlation of similarities."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.config.names import PREFERRED_RESPONSES, SFT_ROW
from trimtab.report.collect.similarities import CEILING_ROW, WEAK_ROW, SimilarityMeasure
from trimtab.report.formatting import format_difference_cell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.page.scatter_figure import draw_similarity_scatter
from trimtab.report.page.sections.section import Figure, PageContents, Section
from trimtab.report.table import Column, Table, TableRow

_MEASURES: tuple[SimilarityMeasure, ...] = ("cosine", "learned_similarity")


def build_similarities_section(contents: PageContents) -> Section | None:
    """A row per arm: similarity to the preferred responses and to every other arm's responses; then correlations."""
    report = contents.report
    if not report.similarities:
        return None
    arms = sort_arm_names(info.arm for info in report.similarities)
    measures = dict.fromkeys(info.measure for info in report.similarities)
    correlation_metrics = ["similarity_correlation"] if report.similarity_correlations else []
    return Section(
        id="similarities",
        title="Response similarity",
        tab="Students",
        tables=_build_tables(report, [PREFERRED_RESPONSES, *arms]),
        figures=_draw_figures(report),
        metrics=(*measures, *correlation_metrics),
    )


def build_similarity_tables(report: Report) -> tuple[Table, ...]:
    """For the terminal: similarity to the preferred responses, SFT and human labels only. SFT of each arm is left out."""
    compared = {name for info in report.similarities for name in (info.arm, info.compared_to)}
    return _build_tables(report, [name for name in (PREFERRED_RESPONSES, SFT_ROW, "human") if name in compared])


def _build_tables(report: Report, compared_to: Sequence[str]) -> tuple[Table, ...]:
    """A table of means and a table of correlations for each measure."""
    tables = [
        table
        for measure in _MEASURES
        for table in (_build_mean_table(report, measure, compared_to), _build_correlation_table(report, measure))
    ]
    return tuple(table for table in tables if table.rows)


def _build_mean_table(report: Report, measure: SimilarityMeasure, compared_to: Sequence[str]) -> Table:
    infos = [info for info in report.similarities if info.measure == measure]
    values = {
        pair: info.value for info in infos for pair in ((info.arm, info.compared_to), (info.compared_to, info.arm))
    }
    columns = [name for name in compared_to if any(name == other for _, other in values)]
    truncated = {info.arm: f"{info.num_truncated:,} pairs truncated" for info in infos if info.num_truncated}
    rows = [
        TableRow(
            name=arm,
            note=truncated.get(arm, ""),
            cells=tuple(
                format_metric_cell(values[arm, other], measure) if (arm, other) in values else None for other in columns
            ),
        )
        for arm in sort_arm_names(info.arm for info in infos)
    ]
    return Table(
        title="Response similarity (cosine)" if measure == "cosine" else get_metric_info(measure).label,
        row_title="Responses of",
        columns=tuple(Column(title=f"to {name}") for name in columns),
        rows=tuple(rows),
    )


def _build_correlation_table(report: Report, measure: SimilarityMeasure) -> Table:
    by_arm = {each.arm: each for each in report.similarity_correlations if each.measure == measure}
    rows = [
        TableRow(
            name=arm,
            cells=(
                *(
                    format_metric_cell(metric, "similarity_correlation")
                    for metric in (by_arm[arm].with_human, by_arm[arm].with_weak_model)
                ),
                format_difference_cell(by_arm[arm].difference, "similarity_correlation"),
            ),
        )
        for arm in sort_arm_names(by_arm)
    ]
    return Table(
        title=f"Correlation of similarities to the preferred responses ({get_metric_info(measure).label.lower()})",
        row_title="Responses of",
        columns=(Column(title=f"with {CEILING_ROW}"), Column(title=f"with {WEAK_ROW}"), Column(title="difference")),
        rows=tuple(rows),
    )


def _draw_figures(report: Report) -> tuple[Figure, ...]:
    drawn = [(each, draw_similarity_scatter(each)) for each in report.similarity_correlations]
    return tuple(
        Figure(
            name=f"scatter-{each.measure}-{each.arm}",
            title=f"{get_metric_info(each.measure).label} to the preferred responses: {each.arm}, {len(each.points)} prompts",
            svg=svg,
        )
        for each, svg in drawn
        if svg
    )
