"""The search trees of annotators: what they have in common, and some of them whole."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.cells import Cell, cell
from trimtab.report.metrics import MetricInfo, metric_info
from trimtab.report.searches import SearchInfo, TreeSample
from trimtab.report.sections.section import Contents, Section
from trimtab.report.trees import Branch, branches, decision, node_line, tree_line


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """The search trees of one annotator: figures as cells, and each tree with its lines of words and its branches."""

    info: SearchInfo
    figures: list[tuple[MetricInfo, Cell]]
    levels: list[tuple[int, Cell, Cell]]
    principles: list[tuple[str, Cell]]
    samples: list[tuple[TreeSample, str, str, tuple[Branch, ...]]]


def searches(contents: Contents) -> Section | None:
    """One article for each annotator that left trees."""
    found = contents.report.searches
    if not found:
        return None
    names = [name for each in found for name in (*each.figures, "information", "nodes_kept", "principle_use")]
    values = {"searches": [_view(each) for each in found], "node_line": node_line}
    return Section(id="searches", title="Search trees", tab="Labels", values=values, metrics=tuple(names))


def _view(info: SearchInfo) -> SearchView:
    return SearchView(
        info=info,
        figures=[(metric_info(name), cell(figure, name)) for name, figure in info.figures.items()],
        levels=[
            (each.level, cell(each.information, "information"), cell(each.kept, "nodes_kept")) for each in info.levels
        ],
        principles=[(name, cell(share, "principle_use")) for name, share in info.principles.items()],
        samples=[(each, tree_line(each.tree), decision(each.tree), branches(each.tree)) for each in info.samples],
    )
