"""How a label came about, as plain values for the page: a search tree, or what was asked and said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trimtab.report.pair_view.search_tree import (
    TreeBranch,
    build_branches,
    format_decision,
    format_node,
    format_tree_summary,
    parse_search_tree,
)

ORDER_LABELS = {"a_first": "a first", "b_first": "b first"}
_RENDERED_KEYS = {"orders", "reasoning", "arguments"}
_MAX_CHARACTERS = 1200


def describe_provenance(detail: Mapping[str, Any]) -> dict[str, Any]:
    """`{"line", "tree", "said"}` of a searched label, `{"parts": [[title, text], …]}` of any other; empty without detail.

    A branch of the tree is [principle, what is known of it, whether it stays, its thought, branches below].
    """
    if not detail:
        return {}
    tree = parse_search_tree(detail)
    if tree is not None:
        asked = f" The weak model: {format_orders(detail)}." if detail.get("orders") else ""
        grown = [_branch_row(each) for each in build_branches(tree)]
        return {"line": format_tree_summary(tree), "tree": grown, "said": f"{format_decision(tree)}{asked}"}
    return {"parts": _detail_parts(detail)}


def format_orders(detail: Mapping[str, Any]) -> str:
    """What was said in each order of the responses, and whether the orders contradict each other."""
    said = _format_verdicts(detail)
    flipped = "; the orders contradict each other" if detail.get("flipped") else ""
    return (", ".join(said) or "no verdict in either order") + flipped


def _format_verdicts(detail: Mapping[str, Any]) -> list[str]:
    return [f"p_a {p_a:.3f} with {ORDER_LABELS.get(order, order)}" for order, p_a in detail.get("orders", {}).items()]


def _branch_row(grown: TreeBranch) -> list[Any]:
    node = grown.node
    thought = _truncate("\n\n".join(part for part in node.thought if part))
    return [node.name, format_node(node), node.is_kept, thought, [_branch_row(each) for each in grown.children]]


def _detail_parts(detail: Mapping[str, Any]) -> list[list[str]]:
    orders = _format_verdicts(detail)
    parts = [["asked", ", ".join(orders)]] if orders else []
    parts += [
        [f"reasoning, {ORDER_LABELS.get(order, order)}", text] for order, text in detail.get("reasoning", {}).items()
    ]
    parts += [
        [f"for {speech['for']}, {ORDER_LABELS.get(order, order)}", speech["text"]]
        for order, speeches in detail.get("arguments", {}).items()
        for speech in speeches
    ]
    rest = {name: value for name, value in detail.items() if name not in _RENDERED_KEYS}
    if rest:
        parts.append(["settings and figures", yaml.safe_dump(rest, sort_keys=False, allow_unicode=True)])
    return [[title, _truncate(text)] for title, text in parts]


def _truncate(text: str) -> str:
    return (
        text
        if len(text) <= _MAX_CHARACTERS
        else f"{text[:_MAX_CHARACTERS]} … {len(text) - _MAX_CHARACTERS:,} more characters"
    )
