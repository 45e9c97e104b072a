"""SEAM search trees: statistics, and sample trees."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.collect.search_trees import SearchInfo, TreeSample
from trimtab.report.formatting import format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.pair_view.search_tree import (
    TreeBranch,
    build_branches,
    format_decision,
    format_node,
    format_tree_summary,
)
from trimtab.report.table import Column, Table, TableCell, TableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleView:
    """A sample tree with its summary, decision and branches for display."""

    sample: TreeSample
    summary: str
    decision: str
    branches: tuple[TreeBranch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """The search trees of one annotator for display."""

    info: SearchInfo
    tables: tuple[Table, ...]
    samples: tuple[SampleView, ...]


def build_searches_section(contents: PageContents) -> Section | None:
    """An article for each annotator with search trees."""
    searches = contents.report.searches
    if not searches:
        return None
    names = [name for search in searches for name in (*search.metrics, "information", "nodes_kept", "principle_use")]
    return Section(
        id="searches",
        title="SEAM search trees",
        tab="Labels",
        template="searches",
        values={"searches": [_build_search_view(search) for search in searches], "format_node": format_node},
        metrics=tuple(names),
    )


def _build_search_view(info: SearchInfo) -> SearchView:
    tables = (_build_metric_table(info), _build_level_table(info), _build_principle_table(info))
    return SearchView(
        info=info,
        tables=tuple(table for table in tables if table.rows),
        samples=tuple(
            SampleView(
                sample=sample,
                summary=format_tree_summary(sample.tree),
                decision=format_decision(sample.tree),
                branches=build_branches(sample.tree),
            )
            for sample in info.samples
        ),
    )


def _build_metric_table(info: SearchInfo) -> Table:
    depths = ", ".join(f"{depth}: {count:,}" for depth, count in info.depth_counts.items())
    rows: list[tuple[str, tuple[TableCell, ...]]] = [
        (get_metric_info(name).label, (format_metric_cell(metric, name),)) for name, metric in info.metrics.items()
    ]
    return _build_table(info, "All trees", ("Value",), [*rows, ("Trees by depth", (depths,))])


def _build_level_table(info: SearchInfo) -> Table:
    columns = ("Information, bits", get_metric_info("nodes_kept").label)
    rows: list[tuple[str, tuple[TableCell, ...]]] = [
        (
            str(level.level),
            (
                format_metric_cell(level.information, "information"),
                format_metric_cell(level.retained_share, "nodes_kept"),
            ),
        )
        for level in info.levels
    ]
    return _build_table(info, "Level", columns, rows)


def _build_principle_table(info: SearchInfo) -> Table:
    rows: list[tuple[str, tuple[TableCell, ...]]] = [
        (name, (format_metric_cell(share, "principle_use"),)) for name, share in info.principle_shares.items()
    ]
    return _build_table(info, "Principle", ("Share of trees with it on the path to the deciding node",), rows)


def _build_table(
    info: SearchInfo, row_title: str, columns: tuple[str, ...], rows: list[tuple[str, tuple[TableCell, ...]]]
) -> Table:
    return Table(
        title=f"{row_title} of {', '.join(info.arms)}",
        row_title=row_title,
        columns=tuple(Column(title=title) for title in columns),
        rows=tuple(TableRow(name=name, cells=cells) for name, cells in rows),
    )
