"""The search trees of annotators: what they have in common, and some of them whole."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.collect.search_trees import SearchInfo, TreeSample
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.metric_registry import MetricInfo, get_metric_info
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.pair_view.search_tree import (
    TreeBranch,
    build_branches,
    format_decision,
    format_node,
    format_tree_summary,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """The search trees of one annotator: figures as cells, and each tree with its lines of words and its branches."""

    info: SearchInfo
    metrics: list[tuple[MetricInfo, MetricCell]]
    levels: list[tuple[int, MetricCell, MetricCell]]
    principles: list[tuple[str, MetricCell]]
    samples: list[tuple[TreeSample, str, str, tuple[TreeBranch, ...]]]


def build_searches_section(contents: PageContents) -> Section | None:
    """One article for each annotator that left trees."""
    found = contents.report.searches
    if not found:
        return None
    names = [name for each in found for name in (*each.metrics, "information", "nodes_kept", "principle_use")]
    values = {"searches": [_build_search_view(each) for each in found], "node_line": format_node}
    return Section(id="searches", title="Search trees", tab="Labels", values=values, metrics=tuple(names))


def _build_search_view(info: SearchInfo) -> SearchView:
    return SearchView(
        info=info,
        metrics=[(get_metric_info(name), format_metric_cell(figure, name)) for name, figure in info.metrics.items()],
        levels=[
            (
                each.level,
                format_metric_cell(each.information, "information"),
                format_metric_cell(each.kept_share, "nodes_kept"),
            )
            for each in info.levels
        ],
        principles=[
            (name, format_metric_cell(share, "principle_use")) for name, share in info.principle_shares.items()
        ],
        samples=[
            (each, format_tree_summary(each.tree), format_decision(each.tree), build_branches(each.tree))
            for each in info.samples
        ],
    )
